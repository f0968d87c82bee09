//! The places that a plan holds in the line for slots: one for the next step of each of its groups, so that a long plan
//! does not keep others out of the line.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::ready::Next;
use crate::state::slots::{MaybeSlot, Slot, Slots};

/// By the lanes of the steps.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<usize, Place>);

#[derive(Debug)]
struct Place {
    priority: i64,
    maybe_slot: MaybeSlot,
}

impl Turns {
    /// Holds a place for each of these steps, and no other. One of another priority than the last in its lane lines up anew.
    pub fn hold<'a>(&mut self, slots: &Arc<Slots>, wanted: impl Iterator<Item = Next<'a>>) {
        let mut before = std::mem::take(&mut self.0);
        for next in wanted {
            let held = before.remove(&next.lane);
            let held = held.filter(|place| place.priority == next.priority);
            let place = held.unwrap_or_else(|| Place {
                priority: next.priority,
                maybe_slot: slots.take_accepted(next.group, next.priority),
            });
            self.0.insert(next.lane, place);
        }
    }

    /// Whether a lane holds a place in the line, and no slot yet.
    pub fn waits(&self, lane: usize) -> bool {
        let place = self.0.get(&lane);
        place.is_some_and(|place| matches!(place.maybe_slot, MaybeSlot::Waiting(_)))
    }

    /// Resolves when it is the turn of a lane, with its slot. May be called again after it was interrupted.
    pub async fn next(&mut self) -> (usize, Option<Slot>) {
        let (lane, slot) = poll_fn(|context| {
            for (lane, place) in &mut self.0 {
                if let Poll::Ready(slot) = pin!(place.maybe_slot.slot()).poll(context) {
                    return Poll::Ready((*lane, slot));
                }
            }
            Poll::Pending
        })
        .await;
        self.0.remove(&lane);
        (lane, slot)
    }
}
