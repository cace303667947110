//! Train a U-Net score model on an image data set.
