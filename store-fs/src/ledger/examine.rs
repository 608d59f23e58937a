//! Whether what stands beside the log of a book says what the log says: its snapshots, and the keys and ids that were put aside.
//!
//! None of it is ever needed: whatever is wrong with it is made again of the log. So it is told and costs nobody an answer.

use store_core::Seq;
use store_core::ledger::{BookName, LedgerError, LedgerFinding, LedgerResult};

use super::book::Book;
use super::{Entry, Open, snapshot};

impl Open {
    pub(super) fn examine(&self) -> LedgerResult<Vec<LedgerFinding>> {
        let books = self.read()?;
        let mut findings = Vec::new();
        for (name, entry) in &*books {
            // Of a damaged book everything that is asked tells that.
            if let Entry::Whole(book) = entry {
                self.examine_snapshots(name, book, &mut findings);
                match self.examine_keys(name, book, &mut findings) {
                    Err(LedgerError::Damaged { .. }) => {}
                    examined => examined?,
                }
            }
        }
        Ok(findings)
    }

    pub(super) fn examine_snapshots(&self, name: &BookName, book: &Book, findings: &mut Vec<LedgerFinding>) {
        let folder = self.book_options.layout.book_snapshots(name);
        for (ordinal, found) in snapshot::all(&self.book_options.disk, &folder, name) {
            let wrong = match found {
                None => Some("is not whole"),
                // Its log was put back to before it: nobody takes it for what it is not.
                Some(found) if found.position.seq > book.end.seq => Some("knows events that the log does not have"),
                Some(found) if !is_beginning(&found, book) => Some("says otherwise than the log"),
                Some(_) => None,
            };
            findings
                .extend(wrong.map(|wrong| LedgerFinding::projection(name, format!("the snapshot {ordinal} {wrong}"))));
        }
    }

    pub(super) fn examine_keys(
        &self,
        name: &BookName,
        book: &Book,
        findings: &mut Vec<LedgerFinding>,
    ) -> LedgerResult<()> {
        match book.missing_key(&self.logs)? {
            Ok(None) => {}
            Ok(Some(seq)) => {
                let detail = format!("the key or id of the transaction at {seq} is not among the keys");
                findings.push(LedgerFinding::projection(name, detail));
            }
            Err(error) => findings.push(LedgerFinding::projection(name, format!("keys cannot be read: {error}"))),
        }
        Ok(())
    }
}

/// Whether a snapshot holds what the book folds to at its event.
fn is_beginning(found: &snapshot::Snapshot, book: &Book) -> bool {
    let last = found.position.seq;
    let times = usize::try_from(last.0).ok().and_then(|count| book.state.times().get(..count));
    let opened = book.state.accounts(last).count();
    times == Some(found.state.times())
        && found.state.rows().count() == opened
        && found.state.rows().all(|(account, _, marks)| {
            let path = account.id.path();
            book.state.account(path, last) == Some(account) && book.state.marks(path, Seq::START, last) == marks
        })
}
