//! Importers: from the files that agents keep to sessions of a store.
//!
//! A *reader* per agent turns records into [`Step`]s and knows nothing of stores; one *writer* turns steps into
//! segments and knows nothing of agents; the *run* orders files and tells what came of them.
//!
//! * [`Importer`] is what a program uses; [`ImportReport`] what it gets.
//! * `unpack` gives a file's text, `lines` splits a file into records, whatever state it is in; `detect` tells whose it is.
//! * `passage` reads a file on from its `bookmark`, or from its beginning; `memory` holds what is remembered of its records.
//! * `sources` are the folders that are imported again and again; it finds which of their files changed.
//! * `ahead` reads new files while the ones before them are written; `text` is a file's text, wherever it is read.
//! * `staging` holds new conversations until many are made at once; `made` answers for them when the index is fed.
//! * `raw` keeps the bytes of what is read.
//! * `rehearsal` is the store of an import that writes nothing.
//! * `exported` knows files that were made of what the store holds.
//! * `inner` reads sub-agents that stand in the file of the conversation that started them.
//! * `claude`, `codex` and `pi` read; `writer` writes; `walk` reads branches back.

mod ahead;
mod bookmark;
mod claude;
mod codex;
mod detect;
mod exported;
mod feed;
mod fields;
mod find;
mod fresh;
mod inner;
mod lines;
mod made;
mod memory;
mod moved;
mod own_file;
mod passage;
mod pi;
mod raw;
mod record;
mod rehearsal;
mod report;
mod run;
mod source;
mod sources;
mod staging;
mod surrogates;
#[cfg(test)]
mod testing;
mod text;
mod unpack;
mod walk;
mod writer;

pub use find::Conversations;
pub use own_file::{OwnFile, Standing, standing};
pub use raw::RawArchive;
pub(crate) use raw::Standing as StandingRaw;
pub use record::{Agent, FileHead, ForkHint, HistoryPart, Parent, ParentCall, RawRecord, Reader, Step};
pub use report::{IgnoredFile, ImportReport, ImportStatus, ImportWarning, ImportedFile};
pub use run::{ImportOptions, Importer, Progress};
pub use sources::{SourceFiles, put_sources, sources};
