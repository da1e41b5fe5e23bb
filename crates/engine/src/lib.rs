//! The seam between a throng node and the place where streams live, with the memory engine.
