//! `ipw analyze --analysis regression`.
