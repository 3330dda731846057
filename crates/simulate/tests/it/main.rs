//! Properties of the simulated streams that other tests rely on.

mod simulation;
