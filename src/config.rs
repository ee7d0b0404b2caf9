//! Reading configuration: parse, don't validate; all problems at once, each with file, line and what to write instead.
