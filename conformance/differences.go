package conformance

// A Difference is one way in which a connection of bev's does other than
// libevent's, on purpose. The scenario testdata/scenarios/difference_<number>
// shows what either does. Everything that is not here is the same.
//
// docs/libevent.md lists them, made from here.
type Difference struct {
	Number   int    // scenarios and tests refer to it
	Title    string // what it is about
	Libevent string // what libevent 2.1.12 does
	Bev      string // what bev does, and why where that is not plain

	// Tests are those of bev's own that hold it to this, by name.
	Tests []string
	// Elsewhere says where it is shown, if this suite cannot.
	Elsewhere string
}

// Differences are all of them. Numbers in parentheses are libevent's issues. Up
// to 18 they are what bev set out to mend; from 19 on, what follows from having
// one rule for every kind of connection and from telling each thing once.
var Differences = []Difference{
	{
		Number:   1,
		Title:    "Input left at its high mark",
		Libevent: "the Read callback runs in every pass of the loop while input stays at its high mark (891)",
		Bev:      "it runs when bytes have come; input left at the mark costs nothing",
		Tests:    []string{"TestUndrainedHighMarkDoesNotSpin_Libevent891"},
	},
	{
		Number:   2,
		Title:    "Output that nobody reads",
		Libevent: "output grows without bound while the peer does not read (694, 1211, 1466)",
		Bev:      "accepted and adopted connections stop reading while output is at its high mark, 256 KiB by default, and writes beyond OutputLimit are refused",
		Tests:    []string{"TestNaiveEchoToAPeerThatOffers2GBAndNeverReads_Libevent1211", "TestOutputHighMarkPausesReading_Libevent694", "TestOutputHighMarkOfTheUserPausesReading_Libevent1466", "TestOutputLimitRefusesAWholeWrite"},
	},
	{
		Number:   3,
		Title:    "A reset while nobody reads",
		Libevent: "a reset is not noticed before somebody reads (677, 666)",
		Bev:      "while reading stands still a reset is told at once, and output is dropped",
		Tests:    []string{"TestResetWhileReadingIsSuspendedIsNoticed_Libevent677", "TestResetDropsOutputWhileReadingIsSuspended_Libevent666"},
	},
	{
		Number:   4,
		Title:    "Connect timeouts",
		Libevent: "a connect timeout is told again and again while the attempt goes on (669)",
		Bev:      "it is told once and ends the attempt",
		Tests:    []string{"TestConnectTimeoutIsOneShotAndEndsTheAttempt_Libevent669", "TestDialTimeoutEndsTheAttemptOnce_Libevent669"},
	},
	{
		Number:   5,
		Title:    "What comes of connecting",
		Libevent: "a connect that fails at once returns -1 and runs no callback; only the first address is tried (263)",
		Bev:      "what comes of Dial is told by one event, never by the call; every address is tried",
		Tests:    []string{"TestDialTriesEveryAddress_Libevent263", "TestDialNeverTellsFromInsideTheCall_Libevent597"},
	},
	{
		Number:   6,
		Title:    "A listener without descriptors",
		Libevent: "a listener's error callback runs in every pass of the loop (71)",
		Bev:      "the listener pauses, and goes on by itself",
		Tests:    []string{"TestExhaustedListenerDoesNotSpin_Libevent71", "TestExhaustedListenerWaitsAndServesAgain_Libevent71"},
	},
	{
		Number:   7,
		Title:    "Errors and ends of filters",
		Libevent: "an error of a filter is ignored, and a filter does not see the end of the stream (107, 172)",
		Bev:      "it is an event, and In runs with FlushFinished at the end",
		Tests:    []string{"TestFilterErrorsAreEvents_Libevent107", "TestFilterOutErrorIsAnEvent_Libevent107", "TestFilterSeesFinishedAtEOF", "TestFilterSeesFinishedAtClose"},
	},
	{
		Number:   8,
		Title:    "Closing a filter",
		Libevent: "freeing a filter loses what the connection under it has not sent (616)",
		Bev:      "closing a filter sends it, and waits for the peer's end before the descriptor is closed",
		Tests:    []string{"TestClosingAFilterFlushesWhatIsBelow_Libevent616"},
	},
	{
		Number:   9,
		Title:    "Pairs",
		Libevent: "an end of a pair hears nothing when the other is freed (93); flush with FINISHED gives an end of file in either direction, after which nothing is disabled, and may run the Read callback without bytes; a flush fills the other end up to its high mark, and past it when it stands there",
		Bev:      "a pair behaves like a socket pair: closing one end, or FlushFinished for writing, is the end of file at the other; a flush moves all; its write timeout runs whenever there is something to send",
		Tests:    []string{"TestPairCloseIsEOFAtTheOther_Libevent93", "TestPairFlushModes", "TestPairFlushPassesTheHighMark", "TestPairTimeouts"},
	},
	{
		Number:    10,
		Title:     "TLS and the high mark",
		Libevent:  "TLS reads past the high mark",
		Bev:       "has no TLS yet; a filter, which it will be, obeys its mark",
		Elsewhere: "nothing yet but what 22 shows of filters",
	},
	{
		Number:   11,
		Title:    "A filter with nothing to send",
		Libevent: "a filter's write timeout runs although there is nothing to send (67)",
		Bev:      "it does not",
		Tests:    []string{"TestFilterHasNoWriteTimeoutWhenIdle_Libevent67"},
	},
	{
		Number:   12,
		Title:    "Rate limits and single reads",
		Libevent: "with a rate limit the largest single read and write do not hold, and a tick is a second where nobody says otherwise",
		Bev:      "they do, and a tick is at most 100 ms",
		Tests:    []string{"TestRateLimitKeepsMaxSingleReadAndWrite", "TestRateLimitTicksAreAsLongAsSaid"},
	},
	{
		Number:    13,
		Title:     "Empty chains",
		Libevent:  "buffers hold empty chains (358, 774, 778, 806)",
		Bev:       "no segment is empty",
		Elsewhere: "`difference_empty` and `difference_commit` among the buffers below",
		Tests:     []string{"TestBuffersHoldNoEmptySegments_Libevent358"},
	},
	{
		Number:   14,
		Title:    "Small messages, and large reads",
		Libevent: "TCP_NODELAY is off, and a read brings at most 4096 bytes (798)",
		Bev:      "it is on, and a read brings up to 64 KiB",
		Tests:    []string{"TestNoDelayAndKeepAliveAreOnUnlessToldOtherwise", "TestOneReadMayExceed4096Bytes_Libevent798"},
	},
	{
		Number:   15,
		Title:    "Input that nobody drains",
		Libevent: "input grows without bound while nobody drains it",
		Bev:      "at a limit that nobody chose, 1 MiB, reading stops with ErrInputFull",
		Tests:    []string{"TestInputLimitNobodyChoseEndsInOneErrInputFull", "TestHighMarksHaveDefaults"},
	},
	{
		Number:   16,
		Title:    "How output goes out",
		Libevent: "output goes out in pieces of at most 16 KiB, one in each pass of the loop",
		Bev:      "it goes out at once, so that callbacks are fewer",
		Tests:    []string{"TestWritesOfOneCallbackAreOneCall"},
	},
	{
		Number:   17,
		Title:    "No Event callback",
		Libevent: "without an Event callback nothing happens at an end of file, an error or a timeout",
		Bev:      "the connection closes itself",
		Tests:    []string{"TestWithoutEventCallbackAConnClosesItself"},
	},
	{
		Number:   18,
		Title:    "The last reply",
		Libevent: "freeing a connection loses what it has not sent, and unread input makes the kernel send a reset, which destroys what the peer has not read",
		Bev:      "CloseAfterFlush sends it and reads to the peer's end",
		Tests:    []string{"TestCloseAfterFlushSendsEverythingThenLingers_Libevent616", "TestCloseAfterFlushWithUnreadInputLosesNothing_Libevent943"},
	},
	{
		Number:   19,
		Title:    "Enabling writing",
		Libevent: "enabling writing with empty output owes a Write callback on sockets only",
		Bev:      "on all kinds of connection",
		Tests:    []string{"TestEnableOwesAWriteCallbackOnEveryKindOfConn"},
	},
	{
		Number:   20,
		Title:    "The end of what is below a filter",
		Libevent: "an end of file, an error or a timeout of the connection below leaves a filter's directions enabled, and its read timeout running",
		Bev:      "they disable the direction, as on sockets",
		Tests:    []string{"TestEndOfTheConnBelowDisablesTheFilter"},
	},
	{
		Number:   21,
		Title:    "A filter that is enabled again",
		Libevent: "a filter that is enabled again does not take up what was written, or had come, meanwhile (613)",
		Bev:      "it does",
		Tests:    []string{"TestAFilterThatIsEnabledAgainGoesOn_Libevent613"},
	},
	{
		Number:   22,
		Title:    "A filter whose mark is drained",
		Libevent: "bytes stay below a filter whose Read callback drains what is at the high mark, until others come (362, 690)",
		Bev:      "they follow",
		Tests:    []string{"TestBytesBelowAFilterFollowWhenItsMarkIsDrained_Libevent362", "TestFullInputAboveStopsReadingBelow_Libevent362"},
	},
	{
		Number:   23,
		Title:    "What is left after a failure",
		Libevent: "after a failure of writing, output stays and more can be written, and enabling tries again; a reset found by reading leaves writing enabled, whose failure is told, too",
		Bev:      "a failure is told once; output is dropped, writing is disabled, and more is refused",
		Tests:    []string{"TestAFailureIsToldOnceAndEndsWriting"},
	},
	{
		Number:   24,
		Title:    "The order of callbacks",
		Libevent: "what is ready in one pass is told in the kernel's order: writing before reading, often; deferred callbacks run once for all that has come",
		Bev:      "reading is told before writing; what can still be read comes before the failure of a write; two failures that meet are one event",
		Tests:    []string{"TestReadingIsToldBeforeWriting", "TestDeferredCallbacksRunInOrderAndJoinTheRest", "TestBytesComeBeforeAWriteError"},
	},
	{
		Number:   25,
		Title:    "The end of file",
		Libevent: "enabling reading again after the end of file tells it again",
		Bev:      "the end is told once",
		Tests:    []string{"TestTheEndIsToldOnce"},
	},
	{
		Number:   26,
		Title:    "Triggers",
		Libevent: "trigger and trigger_event run the callbacks inside the call, unless deferred; trigger_event of nothing runs the callback, too",
		Bev:      "they run from the loop's queue, and an event without bits is none",
		Tests:    []string{"TestTriggerRunsNothingInsideTheCall"},
	},
	{
		Number:   27,
		Title:    "Marks that cannot work",
		Libevent: "a low mark above the high mark is taken, and stops reading for good",
		Bev:      "it is refused with an error",
		Tests:    []string{"TestLowMarkAboveHighMarkIsAnErrorThatNamesBoth"},
	},
	{
		Number:   28,
		Title:    "What starts a read timeout anew",
		Libevent: "with a high mark set, taking anything out of input, or setting marks, starts the read timeout anew; a filter that stands at its mark has a read timeout; flushing an idle filter starts it anew",
		Bev:      "a read timeout starts anew when bytes have come, when reading goes on, and by Enable",
		Tests:    []string{"TestDrainingDoesNotStartTheReadTimeoutAnew"},
	},
	{
		Number:   29,
		Title:    "The user's hands in the buffers",
		Libevent: "the user cannot add to input or take from output",
		Bev:      "the user can",
		Tests:    []string{"TestInputPutInByTheUserStaysInOrder", "TestOutputFilledDirectlyIsSent"},
	},
	{
		Number:   30,
		Title:    "After a connect that failed",
		Libevent: "a connect that fails leaves the directions enabled",
		Bev:      "it disables them: the connection is good for closing only",
		Tests:    []string{"TestAConnectThatFailsDisablesBothDirections"},
	},
	{
		Number:   31,
		Title:    "Read timeouts where nothing can be read",
		Libevent: "a read timeout runs although there is no descriptor to read from, or the connection is still being made",
		Bev:      "it does not: nothing can be read, so nothing is late",
		Tests:    []string{"TestNoReadTimeoutWithoutADescriptor", "TestNoReadTimeoutWhileConnecting"},
	},
	{
		Number:   32,
		Title:    "Flushing for reading",
		Libevent: "what a flush for reading brings out of a filter is not announced",
		Bev:      "the Read callback runs, as for bytes that came by themselves",
		Tests:    []string{"TestWhatAFlushBringsOutOfAFilterIsAnnounced"},
	},
	{
		Number:   33,
		Title:    "A timeout that is taken away",
		Libevent: "a timeout that is taken away while its direction is disabled runs again as soon as bytes have moved",
		Bev:      "it is gone",
		Tests:    []string{"TestATimeoutTakenAwayWhileDisabledIsGone"},
	},
	{
		Number:   34,
		Title:    "A callback that is due",
		Libevent: "a callback that was put off runs whatever the one before it has done to the bytes",
		Bev:      "it runs if the marks still allow it",
		Tests:    []string{"TestDeferredReadIsDroppedWhenItsBytesAreGone"},
	},
}
