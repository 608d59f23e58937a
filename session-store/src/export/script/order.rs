//! The order of a script: which pieces are one response, and where each line stands.

use std::collections::BTreeMap;
use std::rc::Rc;

use store_core::{Item, Seq};

use super::pieces::{Kind, Piece};
use super::{Line, Response, What};
use crate::export::id::{Aspect, At};
use crate::fold::usage_size;
use crate::valid::arrange;

/// Of each piece that a response gave, the response's place; and the responses.
///
/// What the model says without anything between belongs to the usage that is told next, else to the last one that was told.
pub(super) fn responses(pieces: &[Piece]) -> (BTreeMap<usize, usize>, Vec<Response>) {
    let mut responses: Vec<Response> = Vec::new();
    let mut of_piece = BTreeMap::new();
    let mut from = 0;
    while from < pieces.len() {
        let is_within = |piece: &Piece| matches!(piece.kind, Kind::Model(_) | Kind::Usage(_) | Kind::Thinking(_));
        let run = pieces[from..].iter().take_while(|piece| is_within(piece)).count();
        one_run(pieces, from..from + run, &mut of_piece, &mut responses);
        from += run.max(1);
    }
    (of_piece, responses)
}

fn one_run(
    pieces: &[Piece],
    run: std::ops::Range<usize>,
    of_piece: &mut BTreeMap<usize, usize>,
    responses: &mut Vec<Response>,
) {
    let first = responses.len();
    let mut waiting: Vec<usize> = Vec::new();
    for place in run {
        let piece = &pieces[place];
        let usage = match &piece.kind {
            Kind::Usage(usage) => usage,
            Kind::Model(_) => {
                waiting.push(place);
                continue;
            }
            _ => continue,
        };
        let known = responses[first..].iter().rposition(|response| {
            let told = response.usage.as_ref();
            told.is_some_and(|told| told.request_id.is_some() && told.request_id == usage.request_id)
        });
        let response = match known {
            Some(known) => first + known,
            None => {
                let at = waiting.first().map_or(piece.at, |place| pieces[*place].at);
                responses.push(Response { at, usage: None });
                responses.len() - 1
            }
        };
        let told = &mut responses[response].usage;
        if told.as_ref().is_none_or(|told| usage_size(told) < usage_size(usage)) {
            *told = Some(usage.clone());
        }
        of_piece.extend(waiting.drain(..).chain([place]).map(|place| (place, response)));
    }
    if let Some(place) = waiting.first() {
        if responses.len() == first {
            responses.push(Response { at: pieces[*place].at, usage: None });
        }
        let last = responses.len() - 1;
        of_piece.extend(waiting.into_iter().map(|place| (place, last)));
    }
}

/// The lines of the pieces: items as they are arranged, what stands between them where it stood.
pub(super) fn arranged(pieces: &[Piece], of_piece: &BTreeMap<usize, usize>) -> Vec<Line> {
    let places: Vec<usize> =
        pieces.iter().enumerate().filter(|(_, piece)| piece.kind.item().is_some()).map(|(place, _)| place).collect();
    let items = places.iter().filter_map(|place| pieces[*place].kind.item().cloned()).collect();
    let mut teller = Teller { pieces, of_piece, told: 0, calls: BTreeMap::new(), lines: Vec::new() };
    for arranged in arrange(items) {
        let place = places[arranged.at];
        if !matches!(arranged.item, Item::ToolResult { .. }) {
            teller.between(place);
        }
        teller.item(place, arranged.is_made, arranged.item);
    }
    teller.between(pieces.len());
    teller.lines
}

struct Teller<'a> {
    pieces: &'a [Piece],
    of_piece: &'a BTreeMap<usize, usize>,
    /// Up to here everything is told that is no item.
    told: usize,
    /// Of each call, where it comes from and its tool.
    calls: BTreeMap<String, (At, String)>,
    lines: Vec<Line>,
}

impl Teller<'_> {
    fn line(&mut self, place: usize, at: At, what: What) {
        let piece = &self.pieces[place];
        self.lines.push(Line { at, ts: piece.ts, setting: Rc::clone(&piece.setting), what });
    }

    fn between(&mut self, until: usize) {
        for place in self.told..until {
            let piece = &self.pieces[place];
            let what = match &piece.kind {
                Kind::Usage(_) => {
                    let response = self.of_piece.get(&place).copied();
                    let is_last =
                        |response: &usize| !self.of_piece.range(place + 1..).any(|(_, other)| other == response);
                    response.filter(is_last).map(What::Used)
                }
                Kind::Thinking(level) => Some(What::Thinking(level.clone())),
                Kind::End => Some(What::End),
                Kind::Failed { message, interrupted } => {
                    Some(What::Failed { message: message.clone(), interrupted: *interrupted })
                }
                Kind::Compacted(compaction) => Some(What::Compacted(compaction.clone())),
                _ => None,
            };
            if let Some(what) = what {
                self.line(place, piece.at, what);
            }
        }
        self.told = self.told.max(until);
    }

    fn item(&mut self, place: usize, is_made: bool, item: Item) {
        let piece = &self.pieces[place];
        let what = match item {
            Item::ToolResult { ref call_id, .. } => {
                let Some((call, name)) = self.calls.get(call_id).cloned() else { return };
                let at = if is_made { call.with(Aspect::Result) } else { piece.at };
                return self.line(place, at, What::Result { item, call, name });
            }
            item if is_made => {
                let at = At { seq: Seq(1), ..piece.at }.with(Aspect::Begin);
                return self.line(place, at, What::Put(item));
            }
            Item::Message { parts, .. } if matches!(piece.kind, Kind::Prompt(_)) => What::Prompt(parts),
            item if matches!(piece.kind, Kind::Put(_)) => What::Put(item),
            item => {
                if let Item::ToolCall { call_id, name, .. } = &item {
                    self.calls.insert(call_id.clone(), (piece.at, name.clone()));
                }
                What::Model(item, self.of_piece.get(&place).copied().unwrap_or_default())
            }
        };
        self.line(place, piece.at, what);
    }
}
