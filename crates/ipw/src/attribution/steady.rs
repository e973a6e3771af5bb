//! The steady state of a run with several queries at once: from when as many as asked for are under way
//! for the first time until they are for the last. Energy over it by the tokens generated in it is what
//! the ML.ENERGY benchmark tells (Chung et al. 2025, arXiv 2505.06371): it has neither the filling nor
//! the emptying of the server in it.

use energy_proto::Nanos;

use super::measure::Window;

/// A steady state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steady {
    /// Its start.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
    /// Tokens generated in it. Of a query that reaches beyond it, as many as its share of the time
    /// between first token and end.
    pub output_tokens: f64,
}

/// The steady state of queries with their output tokens, `concurrency` of which were to be under way at
/// once. `None` if they never were, or if the tokens of one that matters aren't known.
#[must_use]
pub fn steady(queries: &[(Window, Option<i64>)], concurrency: usize) -> Option<Steady> {
    let mut steps: Vec<(Nanos, i64)> = Vec::new();
    for (window, _) in queries.iter().filter(|(window, _)| window.start < window.end) {
        steps.extend([(window.start, 1), (window.end, -1)]);
    }
    // What ends as another starts made room for it.
    steps.sort_unstable();
    let (mut active, mut from, mut to) = (0, None, None);
    for (at, step) in steps {
        if active == concurrency as i64 {
            to = Some(at);
        }
        active += step;
        if active == concurrency as i64 {
            from = from.or(Some(at));
        }
    }
    let (from, to) = (from?, to?);
    let tokens = |(window, tokens): &(Window, Option<i64>)| {
        let (start, end) = (window.first_token.unwrap_or(window.end), window.end);
        let inside = end.min(to).since(start.max(from)).as_secs_f64();
        let whole = end.since(start).as_secs_f64();
        if inside == 0.0 { Some(0.0) } else { tokens.map(|tokens| tokens as f64 * inside / whole) }
    };
    let output_tokens = queries.iter().map(tokens).sum::<Option<f64>>()?;
    Some(Steady { from, to, output_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(start: u64, first_token: u64, end: u64, tokens: i64) -> (Window, Option<i64>) {
        let first_token = Some(Nanos(first_token));
        (Window { start: Nanos(start), first_token, end: Nanos(end) }, Some(tokens))
    }

    #[test]
    fn filling_and_emptying_are_left_out_with_their_tokens() {
        let queries = [query(0, 10, 50, 40), query(10, 20, 60, 40), query(50, 60, 110, 50)];
        let steady = steady(&queries, 2).unwrap();
        assert_eq!((steady.from, steady.to), (Nanos(10), Nanos(60)));
        assert_eq!(steady.output_tokens, 40.0 + 40.0);
    }

    #[test]
    fn without_a_full_house_or_with_unknown_tokens_there_is_none() {
        let mut queries = [query(0, 10, 50, 40), query(20, 30, 60, 40)];
        assert_eq!(steady(&queries, 3), None);
        queries[1].1 = None;
        assert_eq!(steady(&queries, 2), None);
    }
}
