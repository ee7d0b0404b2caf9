//! One binary for all promises: each module is named after what must be true.

mod architecture;
mod backend_parity;
mod foreign_model;
mod models_eval;
