//! The library on its real stores: rules, planted mistakes, forced interleavings, outages.

mod fixtures;
mod interleavings;
mod mutants;
mod outage;
mod reading;
mod rules;
mod tidying;
