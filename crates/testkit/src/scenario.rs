//! Random operations on few keys, with a model that knows the state they must lead to.
