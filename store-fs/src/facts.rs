//! What is said about the store and its sessions: a log of its own for each, beside the segments' logs.

use store_core::{Durability, Fact, FactScope, Result, SessionId, Store as _, StoreError, call};

use crate::live::Touched;
use crate::logs::LogKey;
use crate::store::FsStore;

impl FsStore {
    pub(crate) fn append_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.check_writable()?;
        let text = call::prepare_fact(fact)?;
        let _writing = self.before_first_write();
        if let FactScope::Session(session) = scope {
            self.check_session(session)?;
            self.ensure_session_folder(session)?;
            self.touch(Touched::session(session))?;
        }
        let durability = if self.syncs_facts() { Durability::Synced } else { Durability::Buffered };
        match (self.append_side_line(LogKey::Facts(scope), &text, durability)?, scope) {
            (None, FactScope::Session(session)) => Err(StoreError::no_session(session)),
            (None, FactScope::Store) => Err(StoreError::backend("the store's folder is gone")),
            (Some(()), _) => Ok(()),
        }
    }

    pub(crate) fn read_facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        if let FactScope::Session(session) = scope {
            self.check_session(session)?;
        }
        let texts = self.read_side_texts(LogKey::Facts(scope))?;
        texts.iter().map(|text| parse(text)).collect()
    }

    fn check_session(&self, session: SessionId) -> Result<()> {
        if self.exists(session)? { Ok(()) } else { Err(StoreError::no_session(session)) }
    }
}

fn parse(text: &str) -> Result<Fact> {
    store_core::json::from_str(text)
        .map_err(|error| crate::error::corrupt(None, 0, None, format!("not a fact: {error}")))
}
