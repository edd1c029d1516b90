//! Which lanes are due, and what their batch holds.

use klr_contract::Record;

use super::{
    Action, Lanes, Log, Now,
    flight::{Flight, Piece},
    lane::{Item, Lane, Shard, Spot},
    tumbling::{Close, Window},
};
use crate::mapping::batch::Room;

/// What the members of a tumbling window take of an event, besides its state.
const WINDOW_FRAME: usize = 1024;

impl Log {
    /// Forms batches while any is due.
    pub(super) fn launch(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some((spots, piece)) = self.batch(now) {
            let number = self.flown;
            self.flown += 1;
            for spot in &spots {
                if let Some(lane) = self.lane(*spot) {
                    lane.flight = Some(number);
                }
            }
            self.flights.insert(number, Flight::new(spots, piece, now.instant));
            self.invoke_top(number, now, out);
        }
    }

    fn batch(&mut self, now: Now) -> Option<(Vec<Spot>, Piece)> {
        match self.settings.lanes {
            Lanes::Partitions => self.is_due(now).then(|| self.mix()).flatten(),
            Lanes::Keys { .. } => {
                let spot = self.due_lane(now)?;
                Some((vec![spot], self.draw(spot, now)?))
            }
        }
    }

    /// Free lanes with something in them, of the partitions there is something to do for.
    fn waiting(&self) -> impl Iterator<Item = (&Shard, Spot, &Lane)> {
        self.active()
            .filter(|shard| !shard.losing)
            .flat_map(|shard| shard.spots().map(move |(spot, lane)| (shard, spot, lane)))
            .filter(|(_, _, lane)| lane.is_free())
    }

    /// Kafka: lanes that may share a batch hold together `batchSize` records or the byte budget, a window ran out with a
    /// record in it, or the memory is used up.
    fn is_due(&self, now: Now) -> bool {
        let mut records = 0;
        let mut bytes = self.shape.frame();
        let mut ran_out = false;
        for (shard, _, lane) in self.waiting().filter(|(_, _, lane)| !lane.buffer.is_empty()) {
            records += lane.buffer.len();
            bytes += lane.bytes;
            ran_out |= lane.ends <= now.instant || shard.ended;
        }
        let full = records >= self.settings.batch_size || bytes >= self.settings.budget;
        records > 0 && (full || ran_out || self.used >= self.share)
    }

    /// Kafka: from the lane whose first record is oldest, the next lane only while room is left: under load a batch is one
    /// partition, at rest it mixes.
    fn mix(&mut self) -> Option<(Vec<Spot>, Piece)> {
        let mut order: Vec<(u64, Spot)> =
            self.waiting().filter_map(|(_, spot, lane)| Some((lane.buffer.front()?.order, spot))).collect();
        order.sort_unstable_by_key(|(first, _)| *first);
        let mut room = Room::new(self.settings.batch_size, self.settings.budget, &*self.shape);
        let (mut spots, mut items) = (Vec::new(), Vec::new());
        for (_, spot) in order {
            let before = items.len();
            self.take(spot, &mut room, &mut items, |_| true);
            if items.len() > before {
                spots.push(spot);
            }
            if room.full() {
                break;
            }
        }
        (!items.is_empty()).then(|| (spots, Piece::new(items)))
    }

    /// Streams: a batch is of one lane. Of those that are due, the one whose first record is oldest.
    fn due_lane(&self, now: Now) -> Option<Spot> {
        let spent = self.used >= self.share;
        let due = |shard: &Shard, lane: &Lane| {
            let over = || lane.window.as_ref()?.is_over(shard.ended, now.instant);
            let Some(front) = lane.buffer.front() else { return over().map(|_| 0) };
            let full = lane.buffer.len() >= self.settings.batch_size
                || self.shape.frame() + lane.bytes >= self.settings.budget;
            let due = full || lane.ends <= now.instant || shard.ended || spent || over().is_some();
            due.then_some(front.order)
        };
        self.waiting()
            .filter_map(|(shard, spot, lane)| Some((due(shard, lane)?, spot)))
            .min_by_key(|(first, _)| *first)
            .map(|(_, spot)| spot)
    }

    /// The batch of one lane; within one tumbling window, if there are any.
    fn draw(&mut self, spot: Spot, now: Now) -> Option<Piece> {
        let Some(length) = self.settings.lanes.tumbling() else {
            let mut room = Room::new(self.settings.batch_size, self.settings.budget, &*self.shape);
            let mut items = Vec::new();
            self.take(spot, &mut room, &mut items, |_| true);
            return (!items.is_empty()).then(|| Piece::new(items));
        };
        let ended = self.shards.get(&spot.partition.index)?.ended;
        let lane = self.lane(spot)?;
        let front = lane.buffer.front().map(|item| &item.record);
        let mut window = match lane.window.take() {
            Some(window) => window,
            None => Window::of(front?, length, now),
        };
        // Too large a state closes the window at once; what waits opens the next.
        let early = window.is_over(false, now.instant).filter(|close| *close == Close::Early);
        let mut items = Vec::new();
        if early.is_none() {
            let frame = WINDOW_FRAME + window.state.len();
            let budget = self.settings.budget.saturating_sub(frame);
            let mut room = Room::new(self.settings.batch_size, budget, &*self.shape);
            self.take(spot, &mut room, &mut items, |record| window.takes(record));
        }
        let lane = self.lane(spot)?;
        let close = early.or_else(|| match lane.buffer.front() {
            Some(next) => (!window.takes(&next.record)).then_some(Close::Over),
            None => window.is_over(ended, now.instant),
        });
        if !items.is_empty() {
            window.heard(now);
        }
        lane.window = Some(window);
        Some(Piece { close, ..Piece::new(items) })
    }

    /// Moves what fits from a lane into a batch, up to the first record that does not belong there.
    fn take(
        &mut self,
        spot: Spot,
        room: &mut Room,
        items: &mut Vec<Item>,
        belongs: impl Fn(&Record) -> bool,
    ) {
        let shape = std::sync::Arc::clone(&self.shape);
        let Some(lane) = self.lane(spot) else { return };
        items.reserve(lane.buffer.len().min(room.left()));
        while let Some(item) = lane.buffer.front() {
            if !belongs(&item.record) || !room.take(&item.record, &*shape) {
                break;
            }
            let cost = shape.cost(&item.record);
            items.extend(lane.pop(cost));
        }
    }
}
