use super::*;

fn events(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn an_external_extension_goes_round() {
    let registry = Registry::default();
    registry.expect("ext");
    let registered = registry.registered();
    tokio::pin!(registered);
    assert!(futures::poll!(&mut registered).is_pending());
    let id = registry.register("ext", &events(&["INVOKE", "SHUTDOWN"])).unwrap();
    registered.await.unwrap();
    let again = registry.register("ext", &[]);
    assert!(matches!(again, Err(Refusal::InvalidState { from: "Registered", .. })));

    let idle = registry.idle();
    tokio::pin!(idle);
    assert!(futures::poll!(&mut idle).is_pending());
    {
        let next = registry.next(id);
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
    }
    assert!(futures::poll!(&mut idle).is_ready());
    // Nobody was listening just then: the event waits.
    assert!(registry.tell(Event::Invoke, &Bytes::from_static(b"1")));
    let idle = registry.idle();
    tokio::pin!(idle);
    assert!(futures::poll!(&mut idle).is_pending());
    assert_eq!(registry.next(id).await.unwrap(), "1");
    assert!(futures::poll!(&mut idle).is_pending());
    let next = registry.next(id);
    tokio::pin!(next);
    assert!(futures::poll!(&mut next).is_pending());
    assert!(futures::poll!(&mut idle).is_ready());
    registry.tell(Event::Shutdown, &Bytes::from_static(b"2"));
    assert_eq!(next.await.unwrap(), "2");
    registry.exited("ext", "exit status 1");
    let failed = registry.failed();
    tokio::pin!(failed);
    assert!(futures::poll!(&mut failed).is_pending(), "it was told to end");
}

#[tokio::test]
async fn one_without_events_is_idle_for_ever() {
    let registry = Registry::default();
    let id = registry.register("inner", &[]).unwrap();
    let next = registry.next(id);
    tokio::pin!(next);
    assert!(futures::poll!(&mut next).is_pending());
    assert!(!registry.tell(Event::Invoke, &Bytes::new()));
    registry.idle().await.unwrap();
    assert!(futures::poll!(&mut next).is_pending());
}

#[test]
fn who_may_not_register_is_told_why() {
    let registry = Registry::default();
    registry.expect("ext");
    let refusal = |name: &str, wanted: &[&str]| registry.register(name, &events(wanted)).unwrap_err();
    assert!(matches!(refusal("inner", &["SHUTDOWN"]), Refusal::InvalidEvent(..)));
    assert!(matches!(refusal("ext", &["REBOOT"]), Refusal::InvalidEvent(..)));
    for n in 1..MOST {
        registry.register(&format!("inner{n}"), &events(&["INVOKE"])).unwrap();
    }
    assert_eq!(refusal("inner1", &[]), Refusal::NameTaken);
    assert_eq!(refusal("inner", &[]), Refusal::TooMany);
    registry.close();
    assert_eq!(refusal("inner", &[]), Refusal::Closed);
    let nobody = Uuid::new_v4();
    assert_eq!(registry.init_error(nobody, "E"), Err(Refusal::Unknown(nobody)));
}

#[tokio::test]
async fn the_first_failure_counts() {
    let registry = Registry::default();
    registry.expect("ext");
    let id = registry.register("ext", &[]).unwrap();
    registry.init_error(id, "Ext.NoKey").unwrap();
    registry.init_error(id, "Ext.NoKey").unwrap();
    registry.exited("ext", "exit status 1");
    let failure = registry.failed().await;
    assert_eq!(failure.kind, "Extension.InitError");
    assert!(matches!(registry.exit_error(id, "E"), Err(Refusal::InvalidState { .. })));
    assert!(registry.next(id).await.is_err());
    let [told] = &registry.told()[..] else { panic!() };
    assert_eq!((told.state, told.error_type.as_deref()), ("InitError", Some("Ext.NoKey")));
}
