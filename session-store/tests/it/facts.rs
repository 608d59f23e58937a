//! What is said about sessions and stores.

use serde_json::json;
use session_store::{
    CurrentLeaf, SessionFact, SessionFacts, StoreFact, TagChange, Title, TitleBy, put_session_fact, put_store_fact,
};
use store_core::{Fact, FactScope, Seq};

use crate::common::{NOW, every_store, prompt, root, segment, with_names};

fn title(text: &str, by: TitleBy) -> SessionFact {
    SessionFact::Title(Title { text: text.into(), by })
}

fn one_of_each() -> Vec<SessionFact> {
    vec![
        title("Ledger", TitleBy::Person),
        SessionFact::Tags(vec!["money".into(), "urgent".into()]),
        SessionFact::Pinned(true),
        SessionFact::TagsChange(TagChange { add: vec!["later".into()], ..TagChange::default() }),
        SessionFact::Archived(true),
        SessionFact::Trashed(false),
        SessionFact::CurrentLeaf(CurrentLeaf { segment_id: segment("a"), seq: Seq(7) }),
        SessionFact::Superseded(segment("b")),
        SessionFact::Cursor { native_id: "n.1".into(), value: json!({"bytes": 10}) },
    ]
}

#[test]
fn every_fact_has_one_stored_form() {
    let of_stores = [
        StoreFact::Source { path: "/a/b.c".into(), value: json!({"mtime": 1}) },
        StoreFact::Tombstone { native_id: "n1".into(), value: json!({"at": 2}) },
    ];
    let mut lines = Vec::new();
    for said in one_of_each() {
        let fact = said.to_fact(NOW);
        assert_eq!(SessionFact::from_fact(&fact), Some(said));
        lines.push(fact);
    }
    for said in of_stores {
        let fact = said.to_fact(NOW);
        assert_eq!(StoreFact::from_fact(&fact), Some(said));
        assert_eq!(SessionFact::from_fact(&fact), None);
        lines.push(fact);
    }
    let names = [(segment("a").to_string(), "A"), (segment("b").to_string(), "B")];
    let lines: Vec<String> = lines.iter().map(|fact| with_names(fact, &names).to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn facts_are_read_back_from_every_backend() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one")]);
        for fact in one_of_each() {
            put_session_fact(&*store, NOW, a.session_id, &fact).unwrap();
        }
        put_store_fact(&*store, NOW, &StoreFact::Source { path: "/x".into(), value: json!(1) }).unwrap();
        let facts = SessionFacts::read(&*store, a.session_id).unwrap();
        assert_eq!(facts.title(), Some("Ledger"), "{scheme}");
        assert_eq!((facts.pinned, facts.archived, facts.trashed), (true, true, false), "{scheme}");
        assert_eq!(facts.tags, ["money", "urgent", "later"], "{scheme}");
        assert_eq!(facts.current_leaf.map(|leaf| leaf.seq), Some(Seq(7)), "{scheme}");
        assert_eq!(facts.cursors["n.1"], json!({"bytes": 10}), "{scheme}");
        assert_eq!(store.facts(FactScope::Store).unwrap().len(), 1, "{scheme}");
    }
}

#[test]
fn a_title_that_a_person_gave_outlasts_what_the_agent_makes_up() {
    let mut facts = SessionFacts::default();
    let mut say = |fact: SessionFact| {
        facts.apply(&fact.to_fact(NOW));
        facts.title().map(str::to_owned)
    };
    assert_eq!(say(title("made up", TitleBy::Agent)).as_deref(), Some("made up"));
    assert_eq!(say(title("chosen", TitleBy::Person)).as_deref(), Some("chosen"));
    assert_eq!(say(title("made up again", TitleBy::Agent)).as_deref(), Some("chosen"));
    assert_eq!(say(title("", TitleBy::Person)).as_deref(), Some("made up again"));
}

#[test]
fn of_one_domain_the_latest_counts_and_superseded_segments_add_up() {
    let mut facts = SessionFacts::default();
    let said = [
        SessionFact::Archived(true),
        SessionFact::Archived(false),
        SessionFact::Tags(vec!["a".into()]),
        SessionFact::Tags(vec![]),
        SessionFact::Superseded(segment("a")),
        SessionFact::Superseded(segment("b")),
    ];
    for fact in said {
        facts.apply(&fact.to_fact(NOW));
    }
    assert_eq!((facts.archived, facts.tags.len(), facts.superseded.len()), (false, 0, 2));
}

#[test]
fn what_this_version_does_not_know_changes_nothing() {
    let mut facts = SessionFacts::default();
    for (domain, value) in [
        ("colour", json!("red")),
        ("title", json!("bare text")),
        ("pinned", json!("yes")),
        ("current_leaf", json!({"segment_id": "../../etc"})),
    ] {
        facts.apply(&Fact { ts: NOW, domain: domain.into(), value });
    }
    assert_eq!(facts, SessionFacts::default());
}
