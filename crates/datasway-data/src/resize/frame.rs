//! The part of a picture that is resized, and the size of the image.

/// One axis of a resize: `input` pixels from `start` on become `output` pixels, of which those from `first` on are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub start: u32,
    pub input: u32,
    pub output: usize,
    pub first: usize,
}

impl Axis {
    /// The axis of which all new pixels are kept.
    pub fn whole(start: u32, input: u32, output: usize) -> Self {
        Self {
            start,
            input,
            output,
            first: 0,
        }
    }

    /// Old pixels for each new one.
    pub fn scale(&self) -> f64 {
        f64::from(self.input) / self.output as f64
    }
}

/// Both axes of a resize to a square.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub columns: Axis,
    pub rows: Axis,
    /// Pixels that are kept of either axis.
    pub size: usize,
}

impl Frame {
    /// Tells whether an axis gets more pixels than it has.
    pub fn enlarges(&self) -> bool {
        let more = |axis: &Axis| (axis.input as usize) < axis.output;
        more(&self.columns) || more(&self.rows)
    }
}
