//! A child that is not `Send`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use paraphym_actix_bridge::run;
use supervision::{Backoff, ChildState, Exit, Lifecycle, Shutdown, TaskContext};
use testkit::scene::Scene;

use crate::common::*;

/// Notes its end.
struct Ends(Log, &'static str);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn it_fails_panics_and_ends_as_any_task_does() {
    run(async |bridge| {
        let lives = Arc::new(AtomicU32::new(0));
        let counted = lives.clone();
        let spec = bridge.task("pump", move |context: TaskContext| {
            let life = Rc::new(counted.fetch_add(1, Ordering::SeqCst));
            async move {
                context.ready();
                match *life {
                    0 => Err("no water".into()),
                    1 => panic!("dry"),
                    _ => {
                        context.stopping().await;
                        Ok(())
                    }
                }
            }
        });
        let mut scene = scene(spec).await;
        for text in ["no water", "dry"] {
            let crashed = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
            let event = scene.expect_event("root/pump", crashed).await;
            assert!(
                matches!(&event.what, Lifecycle::Crashed { reason } if reason == text),
                "{event:?}"
            );
        }
        settle().await;
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!((info.state, info.incarnation), (ChildState::Up, 3));
        assert_eq!(scene.stop().await.abandoned, []);
        assert_eq!(lives.load(Ordering::SeqCst), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_it_and_what_it_spawned_are_dropped() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let spec = bridge.task("deaf", move |context: TaskContext| {
            let log = noted.clone();
            async move {
                let _ends = Ends(log.clone(), "itself");
                let beside = Ends(log, "beside");
                let mut tasks = tokio::task::JoinSet::new();
                tasks.spawn_local(async move {
                    let _ends = beside;
                    std::future::pending::<()>().await;
                });
                tasks.detach_all();
                context.ready();
                std::future::pending().await
            }
        });
        let scene = scene(spec.shutdown(Shutdown::Timeout(ms(10)))).await;
        let report = scene.stop().await;
        assert!(report.took < SECOND, "{:?}", report.took);
        settle().await;
        assert_eq!(log.take(), ["itself", "beside"]);
    })
    .await;
}

/// On real threads: who is cut off hears of it from another one, and so does who is begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_begins_when_the_one_before_is_gone() {
    run(async |bridge| {
        let log = Log::default();
        let noted = log.clone();
        let spec = bridge.task("place", move |context: TaskContext| {
            let log = noted.clone();
            async move {
                log.note(format!("begins {}", context.incarnation()));
                let _ends = Ends(log, "ends");
                context.ready();
                std::future::pending().await
            }
        });
        let scene = scene(spec.shutdown(Shutdown::BrutalKill)).await;
        let admin = scene.root().administration();
        for _ in 0..100 {
            admin.restart("place", MINUTE).await.unwrap();
        }
        scene.stop().await;
        settle().await;
        let lives: Vec<String> = (1..=101)
            .flat_map(|n| [format!("begins {n}"), "ends".to_owned()])
            .collect();
        assert_eq!(log.take(), lives);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_may_say_that_it_is_not_wanted() {
    run(async |bridge| {
        let spec = bridge.task("spare", |context: TaskContext| async move {
            context.ignore();
            Ok(())
        });
        let scene = Scene::start(root().child(spec.backoff(Backoff::none())))
            .await
            .unwrap();
        let info = scene.supervisor().which_children().await.remove(0);
        assert_eq!(info.state, ChildState::Down);
        assert_eq!(Exit::Ignored.to_string(), "was ignored by its own start");
        scene.stop().await;
    })
    .await;
}
