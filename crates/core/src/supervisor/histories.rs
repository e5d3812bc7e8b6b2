//! Random histories against a model of the restart rules.
