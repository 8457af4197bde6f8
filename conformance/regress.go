package conformance

// A RegressCase is a case of libevent's own test suite that is about buffered
// connections or listeners, and what shows the same of bev.
type RegressCase struct {
	Name      string   // in regress_bufferevent.c or regress_listener.c
	Scenarios []string // in testdata/scenarios
	Tests     []string // of bev's own, by name

	// Elsewhere says why there is neither.
	Elsewhere string
}

// RegressCases are all that are in the tables bufferevent_testcases and
// listener_testcases of libevent's main branch of June 2026.
var RegressCases = []RegressCase{
	{Name: "bufferevent", Scenarios: []string{"regress_bufferevent"}},
	{Name: "bufferevent_pair", Scenarios: []string{"regress_bufferevent_pair"}},
	{Name: "bufferevent_flush_normal", Scenarios: []string{"regress_bufferevent_flush"}},
	{Name: "bufferevent_flush_flush", Scenarios: []string{"regress_bufferevent_flush"}},
	{Name: "bufferevent_flush_finished", Scenarios: []string{"regress_bufferevent_flush"}},
	{Name: "bufferevent_pair_flush_normal", Scenarios: []string{"regress_bufferevent_pair_flush_normal"}},
	{Name: "bufferevent_pair_flush_flush", Scenarios: []string{"regress_bufferevent_pair_flush_flush"}},
	{Name: "bufferevent_pair_flush_finished", Scenarios: []string{"regress_bufferevent_pair_flush_finished"}},
	{Name: "bufferevent_pair_release_lock", Elsewhere: "there is no lock"},
	{Name: "bufferevent_watermarks", Scenarios: []string{"regress_bufferevent_watermarks"}},
	{Name: "bufferevent_pair_watermarks", Scenarios: []string{"regress_bufferevent_pair_watermarks"}},
	{Name: "bufferevent_filters", Scenarios: []string{"regress_bufferevent_filters"}},
	{Name: "bufferevent_pair_filters", Scenarios: []string{"regress_bufferevent_pair_filters"}},
	{Name: "bufferevent_filters_disable", Scenarios: []string{"regress_bufferevent_filters_disable"}},
	{Name: "bufferevent_pair_filters_disable", Scenarios: []string{"regress_bufferevent_pair_filters_disable"}},
	{Name: "bufferevent_connect", Scenarios: []string{"regress_bufferevent_connect"}},
	{Name: "bufferevent_connect_defer", Scenarios: []string{"regress_bufferevent_connect_defer"}},
	{Name: "bufferevent_connect_lock", Elsewhere: "there is no lock"},
	{Name: "bufferevent_connect_lock_defer", Elsewhere: "there is no lock"},
	{Name: "bufferevent_connect_unlocked_cbs", Elsewhere: "there is no lock"},
	{Name: "bufferevent_connect_fail", Scenarios: []string{"regress_bufferevent_connect_fail"}},
	{Name: "bufferevent_timeout", Scenarios: []string{"regress_bufferevent_timeout"}},
	{Name: "bufferevent_timeout_pair", Scenarios: []string{"regress_bufferevent_timeout_pair"}},
	{Name: "bufferevent_timeout_filter", Scenarios: []string{"regress_bufferevent_timeout_filter"}},
	{Name: "bufferevent_timeout_filter_pair", Scenarios: []string{"regress_bufferevent_timeout_filter_pair"}},
	{Name: "bufferevent_trigger", Scenarios: []string{"regress_bufferevent_trigger"}},
	{Name: "bufferevent_trigger_defer", Scenarios: []string{"regress_bufferevent_trigger_defer"}},
	{Name: "bufferevent_trigger_postpone", Scenarios: []string{"regress_bufferevent_trigger_postpone"}},
	{Name: "bufferevent_trigger_defer_postpone", Scenarios: []string{"regress_bufferevent_trigger_defer_postpone"}},
	{Name: "bufferevent_zlib", Scenarios: []string{"regress_bufferevent_zlib"}},
	{Name: "bufferevent_connect_fail_eventcb_defer", Scenarios: []string{"regress_bufferevent_connect_fail_eventcb_defer"}},
	{Name: "bufferevent_connect_fail_eventcb", Scenarios: []string{"regress_bufferevent_connect_fail_eventcb"}},
	{Name: "bufferevent_socket_filter_inactive", Scenarios: []string{"regress_bufferevent_socket_filter_inactive"}},
	{Name: "bufferevent_pair_flush", Scenarios: []string{"regress_bufferevent_pair_flush"}},
	{Name: "bufferevent_filter_data_stuck", Scenarios: []string{"regress_bufferevent_filter_data_stuck"}},
	{Name: "bufferevent_read_failed", Scenarios: []string{"regress_bufferevent_read_failed"}},
	{Name: "bufferevent_ratelimit_div_by_zero", Tests: []string{"TestRateLimitRefusesWhatCannotWork"}},
	{Name: "bufferevent_ratelimit_overflow", Tests: []string{"TestRateLimitRefusesWhatCannotWork", "TestRateBucketAgainstBigNumbers"}},

	{Name: "randport", Scenarios: []string{"regress_listener_randport"}, Tests: []string{"TestListenerGetters"}},
	{Name: "randport_ts", Elsewhere: "there is no lock"},
	{Name: "error_unlock", Elsewhere: "there is no lock"},
	{Name: "error", Scenarios: []string{"difference_06_descriptors"}, Tests: []string{"TestAnErrorThatDoesNotPassEndsTheListener"}},
	{Name: "error_ts", Elsewhere: "there is no lock"},
	{Name: "close_accepted_fd", Scenarios: []string{"regress_listener_close_accepted_fd"}},
	{Name: "immediate_close", Scenarios: []string{"regress_listener_immediate_close", "listen_pause_in_callback"}},
	{Name: "disable_in_thread", Tests: []string{"TestPauseFromAnotherGoroutineWhileAcceptRuns"}},
	{Name: "disable_in_thread_error", Tests: []string{"TestPauseHoldsThroughExhaustion"}},
	{Name: "reuseport_on_unix_socket", Tests: []string{"TestListenRefusesArgumentsThatAreWrong"}},
}
