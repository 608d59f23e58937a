//! pi: `sessions/--<folder>--/<time>_<uuid>.jsonl`.
//!
//! A header, then entries with `id` and `parentId`: a tree in one file. Version 1 is linear and has no ids. A forked file
//! begins with copies of the entries of the file that its header names.
//!
//! * [`head`] tells what a file is from its first records.
//! * [`PiReader`] turns records into steps; what a message says is read by `message`, what is left of a record by
//!   `rest`.

mod head;
mod message;
mod reader;
mod rest;

pub(super) use head::{head, sniff};
pub(super) use reader::PiReader;

#[cfg(test)]
mod tests;
