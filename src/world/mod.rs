//! A simulated town with exact truth. Whatever comes from here is called simulated.
