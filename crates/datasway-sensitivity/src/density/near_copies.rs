//! Near-copies of an image: frames of one video, or one photo saved twice.

/// Ratio of an edge to the longest edge before it from which the edge leaves a group of near-copies.
///
/// In data of intrinsic dimension D the nearest neighbours of a point have nearly equal distances: the second is farther than
/// the first by this factor with probability `JUMP^−D`, 2 % where D = 10.
const JUMP: f64 = 1.5;

/// Indices of the candidates that belong to the group of near-copies of a point; empty if it has no near-copies.
///
/// `nearest` are the distances of the point to the candidates, and `between(a, b)` is the distance of two candidates.
///
/// The group grows from the point by its shortest edge, as Prim's minimum spanning tree does. So a video counts as one group
/// although its first and its last frame may be far apart. The group ends before the last edge that is [`JUMP`] times as long
/// as all edges before it, as long as those are below `reach`: one copy may be much nearer than another.
pub(super) fn near_copies(
    nearest: &[f64],
    reach: f64,
    between: impl Fn(usize, usize) -> f64,
) -> Vec<usize> {
    let mut open: Vec<(usize, f64)> = nearest.iter().copied().enumerate().collect();
    let (mut order, mut edges) = (Vec::new(), Vec::new());
    while let Some(next) = (0..open.len()).min_by(|&a, &b| open[a].1.total_cmp(&open[b].1)) {
        let (place, edge) = open.remove(next);
        order.push(place);
        edges.push(edge);
        for (other, distance) in &mut open {
            *distance = distance.min(between(place, *other));
        }
    }
    let (mut longest, mut size) = (0.0_f64, 0);
    for k in 1..edges.len() {
        longest = longest.max(edges[k - 1]);
        if longest >= reach {
            break;
        }
        // Different images are apart, so no edge is 0.
        if edges[k] / longest > JUMP {
            size = k;
        }
    }
    order.truncate(size);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points on a line, seen from 0.
    fn group(points: &[f64], reach: f64) -> Vec<usize> {
        let mut group = near_copies(points, reach, |a, b| (points[a] - points[b]).abs());
        group.sort_unstable();
        group
    }

    #[test]
    fn a_group_ends_where_the_next_point_is_much_farther() {
        // One copy, then the others.
        assert_eq!(group(&[0.1, 5.0, 6.0, 7.0], 4.0), [0]);
        // Copies, one of them nearer than the other.
        assert_eq!(group(&[0.2, 1.0, 5.0, 6.0], 4.0), [0, 1]);
        // A video: each frame near the last, the last far from the first.
        assert_eq!(group(&[9.0, 0.5, 1.0, 1.5, 2.0, 14.0], 4.0), [1, 2, 3, 4]);
        // Near in proportion, but not near.
        assert!(group(&[5.0, 15.0, 16.0], 4.0).is_empty());
        assert!(group(&[], 4.0).is_empty());
        // No copies: neighbours as they are in many dimensions, all about as far from each other.
        assert!(near_copies(&[5.0, 5.6, 5.2, 6.0], 9.0, |_, _| 7.0).is_empty());
    }
}
