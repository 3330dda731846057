//! The simulated life, and what it must be like so that other tests can rest on it.

mod generator;
