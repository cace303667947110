//! Denoisers and their derivatives against the libraries that the models come from.

mod case;
mod dit;
mod edm;
mod folders;
mod paths;
mod scheduler;
mod unet;
