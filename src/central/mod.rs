//! The town's service: takes events, keeps the damage map, explains the order, serves API and UI.
