//! What OTP promises, and where Akka, kameo and this crate stand. Documentation only; nothing runs here.
//!
//! OTP is `supervisor` of Erlang/OTP 26 and later. Akka is Akka Typed 2.9 where it has the thing, else classic. kameo is
//! 0.22.2 with its own supervision, as probed (docs/adr/0002 says why this crate does not build on it).
//!
//! | OTP | Akka | kameo | here |
//! |---|---|---|---|
//! | **Describing** | | | |
//! | child spec: `id`, `start`, `restart`, `shutdown`, `type`, `significant` | a behaviour, wrapped in `supervise` | builder on the child: policy, limit | [`ChildSpec`](crate::ChildSpec): the same data, and `backoff`, `start_timeout`, `handler_budget`, queue capacity, `depends_on` |
//! | supervisor flags | the parent's code | the parent's type | [`SupervisorSpec`](crate::SupervisorSpec): data; a spec that can never run is refused before anything starts, by field |
//! | `permanent`, `transient`, `temporary` | restart, stop or resume, by kind of exception | `Permanent`, `Transient`, `Never` | [`Restart`](crate::Restart), as in OTP |
//! | `one_for_one` | typed | yes | [`Strategy`](crate::Strategy) |
//! | `one_for_all` | classic only | yes; hangs if a sibling has ended or fails meanwhile | yes; a failed group restart is tried again within the intensity |
//! | `rest_for_one` | none | yes, in random order; hangs likewise | yes, in order |
//! | `simple_one_for_one` | `spawn` | `supervise` at any time; what has ended is never freed | [`SupervisorSpec::simple_one_for_one`](crate::SupervisorSpec::simple_one_for_one), addressed by id; what has ended is freed |
//! | `intensity` in `period`, per supervisor | per child: `withLimit` | per child; counts gaps, not a window | per supervisor, OTP's window to the boundary: a restart exactly one period old still counts |
//! | significant children, `auto_shutdown` | by hand, with `watch` | none | [`AutoShutdown`](crate::AutoShutdown) |
//! | **Starting** | | | |
//! | in order, each awaited | not awaited | not awaited | in order, each awaited; `depends_on` sorts |
//! | a failed start stops those before it in reverse | no | no | yes; the error names the deepest child and its reason |
//! | `ignore` | none | none | [`Inbox::ignore`](crate::Inbox::ignore), [`TaskContext::ignore`](crate::TaskContext::ignore) |
//! | no timeout for a start | none | none | 30 s unless told otherwise |
//! | **Ending** | | | |
//! | in reverse order | children in no order | in random order | in reverse order; a template's all together, as in OTP |
//! | `brutal_kill`, timeout, `infinity` per child | one phase timeout for the application | waits for a busy child for ever | [`Shutdown`](crate::Shutdown); past it kill, 1 s later abort; the root's own deadline beats `Infinity` |
//! | queued messages die with the process | dead letters | handed to a hook, or dropped | handled before the end, within the deadline; else answered `Down` and named in the stop report |
//! | gives up: exits `shutdown`, which does not restart a transient parent entry | the exception goes up | the parent stops | ends abnormally: the parent counts it as a crash |
//! | **Restarting** | | | |
//! | at once | `restartWithBackoff` | at once | exponential backoff with full jitter, reset after a healthy life; `Backoff::none()` for OTP's way |
//! | mailbox is lost | mailbox is kept | mailbox is kept; what comes during the start can be dropped unseen | queue is kept, tells and asks, in order; the message that crashed is not delivered again |
//! | a new pid: callers look it up | the same reference | the same reference, some of whose functions still mean the former life | [`Handle`](crate::Handle): the same, before the start and after the end too |
//! | caller of the crashed request: `exit` from `call` | ask timeout | `ActorStopped` | `AskError::Crashed`, at once |
//! | **Administration** | | | |
//! | `start_child` | `spawn` | `supervise` | [`start_child`](crate::SupervisorHandle::start_child); also [`ensure_actor`](crate::SupervisorHandle::ensure_actor) |
//! | `already_started`, `already_present`, `not_found`, `running`, `restarting` | exceptions for a taken name | none | an error type per command, that says which child and what to do |
//! | `terminate_child` | `stop`, for children only | a killed permanent child comes back | [`terminate_child`](crate::SupervisorHandle::terminate_child); at once for one that rests |
//! | `restart_child`, `delete_child` | none | none | the same |
//! | `which_children`, `count_children`, `get_childspec` | `children` | none | the same, with health, queue, current message and its age, work, last error |
//! | the supervisor answers nothing while a child starts or stops | the actor goes on | lifecycle waits behind messages | answers at any moment: rests, starts and stops are states |
//! | **Seeing** | | | |
//! | `observer` | commercial | console, another program | [`Topology`](crate::Topology), gauges, one bounded stream of [`LifecycleEvent`](crate::LifecycleEvent)s |
//! | a process that hangs: by hand | by hand | console | handler budget: `Lifecycle::Stuck` with the message's name, [`Health`](crate::Health) |
//! | no virtual time in tests | manual time | its window reads the system's clock | everything runs on tokio's clock, paused in tests |
//!
//! Where this crate knowingly differs from OTP: giving up is a crash to the parent; a restart rests first; a stop lets
//! what is queued be handled; a template's children have ids; a supervisor never blocks, so a command may meet a child in
//! the middle of something, and the answer says so (`Stopping`, `Starting`, `Terminated`); a child that rests before a
//! restart counts as started (OTP: `already_present`), and a child that is added to a group that rests waits with it; a
//! significant child that ends while its supervisor is still starting ends it there and then, not after the last start.
