//! Forward-mode automatic differentiation for unmodified Burn modules.
