//! Denoisers and their derivatives against the libraries that the models come from.

mod case;
mod dit;
mod edm;
mod export;
mod folders;
mod paths;
mod pixels;
mod round_trip;
mod scheduler;
mod unet;
