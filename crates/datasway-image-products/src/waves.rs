//! Strips of images, taken by as many threads as there are.

use rayon::prelude::*;

use super::tile::TILE;

/// Images whose sums are one term of a sum in f64. The number decides the order of all sums, and so their last digits.
pub(super) const STRIP: usize = 4 * TILE;

/// Strips of the first round.
const FIRST_ROUND: usize = 8;

/// The round of a strip: the first strips, and then as many as in all rounds before. What earlier rounds have found may be used by
/// a strip, because it does not depend on the number of threads.
pub(super) fn round(strip: usize) -> u32 {
    (strip / FIRST_ROUND)
        .checked_ilog2()
        .map_or(0, |log| log + 1)
}

/// Successive strips, in rounds.
pub(super) fn in_rounds<S>(strips: &mut [S]) -> impl Iterator<Item = &mut [S]> {
    let (mut others, mut done) = (strips, 0_usize);
    std::iter::from_fn(move || {
        let length = done.max(FIRST_ROUND).min(others.len());
        let (of_round, left) = std::mem::take(&mut others).split_at_mut(length);
        others = left;
        done += length;
        (length > 0).then_some(of_round)
    })
}

/// Buffers for each thread, which are used for one strip after the other: memory that is new is cleared by the system, which takes
/// longer than products with it.
pub(super) fn of_threads<B>(strips: usize, buffers: impl Fn() -> B) -> Vec<B> {
    let threads = rayon::current_num_threads().clamp(1, strips.max(1));
    (0..threads).map(|_| buffers()).collect()
}

/// Calls `work` for all strips, as many at a time as there are buffers, and `take` for each of them in order.
pub(super) fn in_waves<S: Send, B: Send>(
    strips: &mut [S],
    buffers: &mut [B],
    work: impl Fn(&mut S, &mut B) + Sync,
    mut take: impl FnMut(&mut S, &B),
) {
    for wave in strips.chunks_mut(buffers.len()) {
        let pairs = wave.par_iter_mut().zip(buffers.par_iter_mut());
        pairs.for_each(|(strip, buffers)| work(strip, buffers));
        for (strip, buffers) in wave.iter_mut().zip(buffers.iter()) {
            take(strip, buffers);
        }
    }
}
