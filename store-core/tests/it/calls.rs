//! What a call is refused for before any backend sees it.

use store_core::call::{self, ENTRY_BYTES_MAX, KEY_BYTES_MAX};
use store_core::{ConfigChanged, LogEntry, NewEntry, SegmentStart, SessionConfig, SessionId, StoreError, TurnEnd};

fn refusal(entry: NewEntry) -> String {
    match call::prepare_append(&[entry]).expect_err("a refusal") {
        StoreError::InvalidEntry { index: 0, detail } => detail,
        other => panic!("{other}"),
    }
}

#[test]
fn texts_that_could_not_be_read_back_are_refused() {
    let nested = format!(r#"{{"kind":"x","ts":1,"d":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    let refused = [
        ("", "white space around"),
        (" {\"kind\":\"x\",\"ts\":1}", "white space around"),
        ("{\"kind\":\"x\",\n\"ts\":1}", "control characters"),
        (r#"{"kind":"x","ts":1}{"kind":"x","ts":1}"#, "trailing"),
        (r#"{"kind":"x"}"#, "whole number `ts`"),
        (r#"{"ts":1}"#, "text `kind`"),
        (r#"{"kind":"x","ts":-1}"#, "invalid value"),
        (r#"{"kind":"x","ts":1,"kind":"y"}"#, "stands twice"),
        (r#"{"kind":"turn_end","ts":1,"turn_count":"one"}"#, "wrong shape"),
        (nested.as_str(), "deeper than 128"),
    ];
    for (text, why) in refused {
        let detail = refusal(NewEntry::text(text));
        assert!(detail.contains(why), "{text:.60}: {detail}");
    }
    for field in call::RESERVED_FIELDS {
        let detail = refusal(NewEntry::text(format!(r#"{{"kind":"x","ts":1,"{field}":1}}"#)));
        assert!(detail.contains(field), "{detail}");
        let escaped = format!(r#"{{"kind":"x","ts":1,"\u{:04x}{}":1}}"#, field.as_bytes()[0], &field[1..]);
        assert!(refusal(NewEntry::text(escaped)).contains(field), "an escape must not hide {field}");
    }
}

#[test]
fn a_text_is_kept_byte_for_byte() {
    let texts = [
        r#"{"kind":"x","ts":1, "n": 1.50e+3 ,"k":{"seq":1,"crc32c":"no"}}"#.to_owned(),
        format!(r#"{{"kind":"x","ts":1,"d":{}{}}}"#, "[".repeat(127), "]".repeat(127)),
    ];
    for text in texts {
        let prepared = call::prepare_append(&[NewEntry::text(text.clone())]).unwrap();
        assert_eq!(prepared[0].text.as_str(), text);
    }
}

/// A `meta` with a second `source` was written once and could not be read: the segment had no readable start.
#[test]
fn a_name_of_the_callers_that_stands_twice_is_refused() {
    let session = SessionId::derive(1, b"s");
    let mut start = SegmentStart::new(session, 1);
    start.meta.source = Some("a file".into());
    start.meta.other.insert("source".into(), "exec".into());
    let error = call::prepare_create(session, &[LogEntry::SegmentStart(Box::new(start)).into()]).unwrap_err();
    assert!(error.to_string().contains("duplicate field `source`"), "{error}");
    let mut config = SessionConfig { model: Some("m".into()), ..SessionConfig::default() };
    config.other.insert("model".into(), "n".into());
    let error = call::prepare_append(&[LogEntry::ConfigChanged(ConfigChanged { ts: 1, config }).into()]).unwrap_err();
    assert!(error.to_string().contains("duplicate field `model`"), "{error}");
}

#[test]
fn keys_have_a_length() {
    let entry = || NewEntry::typed(LogEntry::TurnEnd(TurnEnd { ts: 1, turn_count: 1 }));
    assert!(refusal(entry().with_key("")).contains("key"));
    assert!(refusal(entry().with_key("k".repeat(KEY_BYTES_MAX + 1))).contains("key"));
    assert!(call::prepare_append(&[entry().with_key("k".repeat(KEY_BYTES_MAX))]).is_ok());
}

#[test]
fn an_entry_has_a_largest_size() {
    let frame = r#"{"kind":"x","ts":1,"s":""}"#.len() as u64;
    let text = |bytes: u64| {
        let filler = "x".repeat(usize::try_from(bytes - frame).unwrap());
        NewEntry::text(format!(r#"{{"kind":"x","ts":1,"s":"{filler}"}}"#))
    };
    assert!(call::prepare_append(&[text(ENTRY_BYTES_MAX)]).is_ok());
    let error = call::prepare_append(&[text(ENTRY_BYTES_MAX + 1)]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { bytes, bytes_max } if bytes == bytes_max + 1), "{error}");
}

#[test]
fn a_segment_starts_with_the_start_of_its_own_session() {
    let (mine, other) = (SessionId::derive(1, b"mine"), SessionId::derive(1, b"other"));
    let start = |session| NewEntry::typed(LogEntry::SegmentStart(Box::new(SegmentStart::new(session, 1))));
    let end = || NewEntry::typed(LogEntry::TurnEnd(TurnEnd { ts: 1, turn_count: 1 }));
    assert!(call::prepare_create(mine, &[start(mine), end()]).is_ok());
    for (bad, at) in [(vec![], 0), (vec![end()], 0), (vec![start(other)], 0), (vec![start(mine), start(mine)], 1)] {
        let error = call::prepare_create(mine, &bad).unwrap_err();
        assert!(matches!(error, StoreError::InvalidEntry { index, .. } if index == at), "{error}");
    }
    let error = call::prepare_append(&[end(), start(mine)]).unwrap_err();
    assert!(matches!(error, StoreError::InvalidEntry { index: 1, .. }), "{error}");
}
