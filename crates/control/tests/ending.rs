//! How control itself goes when all of the server ends: after the last word.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crate::support;

use paraphym_control::News;
use paraphym_control::protocol::ending::{Ending, Phase};
use supervision::Lifecycle;
use support::{FOR_EVER, Scene};

#[tokio::test]
async fn when_all_ends_nobody_is_hung_up_on_before_the_last_word() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let ending = |phase| Ending {
        phase,
        under_way: Vec::new(),
        left_ms: 5000,
        abandoned: vec!["root/a: 1 queued".to_owned()],
        killed: Vec::new(),
    };
    scene.ending.send_replace(Some(ending(Phase::Actors)));
    let mut events = scene.root.events();
    let told = async {
        loop {
            let event = events.recv().await.unwrap();
            if event.child == "root/control" && event.what == Lifecycle::Stopping {
                break;
            }
        }
        // Whoever would hang up at once has the time to.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        scene.ending.send_replace(Some(ending(Phase::Runtime)));
    };
    let heard = async {
        let mut heard = Vec::new();
        while let Ok(news) = client.next().await {
            if let News::Ending(ending) = news {
                heard.push(ending);
            }
        }
        heard
    };
    let (report, (), heard) = tokio::join!(scene.root.stop(FOR_EVER), told, heard);
    assert_eq!(report.abandoned, []);
    assert_eq!(heard.last(), Some(&ending(Phase::Runtime)), "{heard:?}");
}
