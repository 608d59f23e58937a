//! From a URL to a store.

use std::sync::Arc;

use session_store::{NewSegment, OpenFn, OpenMode, OpenOptions, SessionError, create_segment, open, register, schemes};
use store_core::{Backend, MemoryStore, StoreError};

use crate::common::NOW;

fn existing(url: &str) -> Result<Arc<dyn Backend>, SessionError> {
    open(url, &OpenOptions { create: false, ..OpenOptions::at(NOW) })
}

/// The URLs of stores on a medium that this build has.
fn on_a_medium(folder: &tempfile::TempDir) -> Vec<String> {
    let schemes = schemes().into_iter().filter(|scheme| ["fs", "sqlite"].contains(&scheme.as_str()));
    schemes.map(|scheme| format!("{scheme}:{}", folder.path().join(&scheme).display())).collect()
}

#[test]
fn a_text_that_is_no_url_is_refused_with_what_is_wrong_with_it() {
    let mut lines = Vec::new();
    for url in ["", "plain", "/a/path", ":x", "Fs:/x", "f s:/x", "fs:", "9p:/x"] {
        let error = open(url, &OpenOptions::at(NOW)).map(drop).unwrap_err();
        lines.push(error.to_string());
    }
    if schemes().iter().any(|scheme| scheme == "fs") {
        insta::assert_snapshot!(lines.join("\n"));
    }
}

#[test]
fn an_unknown_scheme_names_those_that_are_known() {
    let error = open("ftp:/x", &OpenOptions::at(NOW)).map(drop).unwrap_err();
    let SessionError::UnknownScheme { scheme, known, feature } = &error else { panic!("{error:?}") };
    assert_eq!((scheme.as_str(), *feature), ("ftp", None));
    assert!(known.iter().any(|scheme| scheme == "memory"), "{known:?}");
    assert_eq!(error.to_string(), r#"no backend for "ftp""#);
}

#[test]
fn a_backend_that_was_left_out_says_which_feature_brings_it() {
    for scheme in ["fs", "sqlite"] {
        let built = schemes().iter().any(|known| known == scheme);
        let opened = open(
            &format!("{scheme}:/nowhere/at/all"),
            &OpenOptions { mode: OpenMode::ReadOnly, ..OpenOptions::at(NOW) },
        );
        let error = opened.map(drop).unwrap_err();
        let left_out = matches!(&error, SessionError::UnknownScheme { feature: Some(name), .. } if *name == scheme);
        assert_eq!(left_out, !built, "{error:?}");
    }
}

#[test]
fn stores_in_memory_are_shared_by_name_and_fresh_without() {
    let named = open("memory:shared-by-name", &OpenOptions::at(NOW)).unwrap();
    let a = create_segment(&*named, NOW, NewSegment::default()).unwrap();
    let again = open("memory:shared-by-name", &OpenOptions::at(NOW)).unwrap();
    assert!(again.exists(a.session_id).unwrap());
    let fresh = open("memory:", &OpenOptions::at(NOW)).unwrap();
    create_segment(&*fresh, NOW, NewSegment::default()).unwrap();
    assert_eq!(open("memory:", &OpenOptions::at(NOW)).unwrap().list_sessions().unwrap(), []);
}

#[test]
fn a_registered_scheme_opens_and_is_not_given_away_again() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let opener = |seen: &Arc<std::sync::Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        OpenFn::new(move |location: &str, options: &OpenOptions| {
            seen.lock().unwrap().push(format!("{location} {:?}", options.mode));
            Ok(Arc::new(MemoryStore::new()))
        })
    };
    register("x-test", opener(&seen)).unwrap();
    open("x-test:host/a:b", &OpenOptions::at(NOW).with_mode(OpenMode::ReadOnly)).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["host/a:b ReadOnly"]);
    for taken in ["x-test", "fs", "sqlite", "memory"] {
        let error = register(taken, opener(&seen)).unwrap_err();
        assert!(matches!(&error, SessionError::SchemeTaken { scheme } if scheme == taken), "{error:?}");
    }
    let error = register("No Scheme", opener(&seen)).unwrap_err();
    assert!(matches!(&error, SessionError::BadUrl { .. }), "{error:?}");
    assert!(schemes().iter().any(|scheme| scheme == "x-test"));
}

#[test]
fn what_is_not_there_is_made_only_if_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for url in on_a_medium(&folder) {
        existing(&url).map(drop).unwrap_err();
        let read_only = OpenOptions::at(NOW).with_mode(OpenMode::ReadOnly);
        open(&url, &read_only).map(drop).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{url}");
        let a = create_segment(&*open(&url, &OpenOptions::at(NOW)).unwrap(), NOW, NewSegment::default()).unwrap();
        assert!(existing(&url).unwrap().exists(a.session_id).unwrap(), "{url}");
        let store = open(&url, &read_only).unwrap();
        assert!(store.info().read_only, "{url}");
        let error = create_segment(&*store, NOW, NewSegment::default()).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::ReadOnly)), "{url}: {error:?}");
        drop(store);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
    }
}

#[test]
fn a_store_that_is_open_exclusively_is_locked_for_others() {
    let folder = tempfile::tempdir().unwrap();
    for url in on_a_medium(&folder) {
        let alone = open(&url, &OpenOptions::at(NOW).with_mode(OpenMode::Exclusive)).unwrap();
        let error = open(&url, &OpenOptions::at(NOW)).map(drop).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::Locked { .. })), "{url}: {error:?}");
        drop(alone);
        open(&url, &OpenOptions::at(NOW)).unwrap();
    }
}

#[test]
fn a_store_has_no_ledger_until_somebody_writes_one() {
    use std::time::Duration;

    use session_store::{open_ledger, read_ledger};
    use store_core::ledger::{Asset, Clock, LedgerError};

    let folder = tempfile::tempdir().unwrap();
    let clock: Clock = Arc::new(|| NOW * 1000);
    for url in on_a_medium(&folder) {
        let missing = open_ledger(&url, &clock, Duration::ZERO).map(drop).unwrap_err();
        assert!(!matches!(missing, SessionError::Ledger(_)), "a ledger makes no store: {missing}");
        open(&url, &OpenOptions::at(NOW)).unwrap();
        let nothing = read_ledger(&url, &clock).unwrap();
        assert!(nothing.is_none_or(|ledger| ledger.list_books().unwrap().is_empty()), "{url}");

        let usd = Asset { id: "usd".parse().unwrap(), precision: 9 };
        let ledger = open_ledger(&url, &clock, Duration::ZERO).unwrap();
        ledger.register_asset(&usd).unwrap();
        let reader = read_ledger(&url, &clock).unwrap().unwrap();
        assert_eq!(reader.list_assets().unwrap(), std::slice::from_ref(&usd), "{url}: also while somebody writes it");
        let refused = reader.register_asset(&Asset { id: "eur".parse().unwrap(), precision: 9 });
        assert!(matches!(refused, Err(LedgerError::Store(StoreError::ReadOnly))), "{refused:?}");
        match open_ledger(&url, &clock, Duration::from_millis(1)) {
            Err(SessionError::Ledger(LedgerError::Store(StoreError::Locked { .. }))) => assert!(url.starts_with("fs:")),
            other => assert!(other.is_ok() && url.starts_with("sqlite:"), "{url}"),
        }
        ledger.shutdown().unwrap();
        open_ledger(&url, &clock, Duration::ZERO).unwrap().register_asset(&usd).unwrap();
    }
}

#[test]
fn who_waits_for_a_ledger_opens_the_store_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use session_store::open_ledger;
    use store_core::ledger::{Clock, LedgerError};

    let folder = tempfile::tempdir().unwrap();
    let clock: Clock = Arc::new(|| NOW * 1000);
    for url in on_a_medium(&folder).into_iter().filter(|url| url.starts_with("fs:")) {
        open(&url, &OpenOptions::at(NOW)).unwrap();
        let _held = open_ledger(&url, &clock, Duration::ZERO).unwrap();
        // Opening a store takes the time, and so tells that it was done.
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let counting: Clock = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            NOW * 1000
        });
        let refused = open_ledger(&url, &counting, Duration::from_millis(50)).map(drop).unwrap_err();
        assert!(matches!(refused, SessionError::Ledger(LedgerError::Store(StoreError::Locked { .. }))), "{refused}");
        assert_eq!(looks.load(Ordering::SeqCst), 1, "{url}");
    }
}

#[test]
fn who_waits_gets_a_ledger_when_the_other_lets_go() {
    use std::time::Duration;

    use session_store::open_ledger;
    use store_core::ledger::Clock;

    let folder = tempfile::tempdir().unwrap();
    let clock: Clock = Arc::new(|| NOW * 1000);
    for url in on_a_medium(&folder) {
        open(&url, &OpenOptions::at(NOW)).unwrap();
        let first = open_ledger(&url, &clock, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| open_ledger(&url, &clock, Duration::from_secs(600)).map(drop));
            std::thread::sleep(Duration::from_millis(30));
            first.shutdown().unwrap();
            second.join().unwrap().unwrap();
        });
    }
}
