//! Inside somebody else's runtime. Alone in its file, because the test harness gives each file a process.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use paraphym_runtime::{Role, Runtime};

#[tokio::test]
async fn an_ambient_runtimes_threads_are_the_hosts_and_its_pool_may_grow() {
    let runtime = Runtime::ambient().unwrap();
    assert!(!runtime.is_owned());
    let census = runtime.census();
    assert_eq!(census.count(Role::Foreign), 0, "{census:?}");
    assert!(census.count(Role::Host) >= 1);
}
