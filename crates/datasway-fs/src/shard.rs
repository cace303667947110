//! Shares of a work that several processes do, numbered as in the job array of a scheduler.

use std::fmt;
use std::str::FromStr;

/// One of n equal shares of a list of jobs or batches: `0/4` … `3/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// The share, from 0.
    pub index: usize,
    /// The number of shares.
    pub count: usize,
}

impl Shard {
    /// True if the entry `i` of the list is in this share. Entries are dealt out in turn.
    pub fn has(self, i: usize) -> bool {
        i % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err("write I/N with I from 0 to N-1, such as 0/4".to_owned()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
        for bad in ["4/4", "1", "a/b", "0/0", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_entry_is_in_one_shard() {
        let shards = (0..3).map(|index| Shard { index, count: 3 });
        let owners = |i| shards.clone().filter(move |shard| shard.has(i)).count();
        assert!((0..10).all(|i| owners(i) == 1));
    }
}
