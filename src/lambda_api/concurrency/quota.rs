//! AWS's arithmetic: what may be promised out of what the account has.

use crate::lambda_api::Error;

/// What the account may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All functions together.
    pub concurrent: u32,
    /// What has to be left to functions that nothing is reserved for.
    pub unreserved: u32,
}

impl Default for Limits {
    /// An account's on AWS.
    fn default() -> Self {
        Self { concurrent: 1000, unreserved: 100 }
    }
}

impl Limits {
    /// What is left when so much is promised.
    pub fn unreserved(self, promised: u32) -> u32 {
        self.concurrent.saturating_sub(promised)
    }

    fn leaves_too_little(self, promised: u32) -> bool {
        self.unreserved(promised) < self.unreserved
    }
}

/// Whether so much can be reserved for a function, when `others` is promised to the others and `provisioned` to its own
/// versions.
pub(super) fn reserve(limits: Limits, others: u32, provisioned: u32, wanted: u32) -> Result<(), Error> {
    // Nothing can always be reserved: it stops the function.
    if wanted > 0 && limits.leaves_too_little(others.saturating_add(wanted)) {
        return Err(Error::invalid(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
             its minimum value of [{}].",
            limits.unreserved
        ))
        .untyped());
    }
    if provisioned > wanted {
        // With AWS's blanks.
        return Err(Error::invalid(format!(
            " ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned concurrency \
             [{provisioned}]."
        ))
        .untyped());
    }
    Ok(())
}

/// Whether so much can be provisioned for a version or an alias, when its siblings have `siblings`.
pub(super) fn provision(
    limits: Limits,
    others: u32,
    reserved: Option<u32>,
    siblings: u32,
    wanted: u32,
) -> Result<(), Error> {
    let together = siblings.saturating_add(wanted);
    if let Some(reserved) = reserved {
        if reserved < together {
            return Err(Error::invalid(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function",
            ));
        }
        // Out of what the function has: nobody else has less.
        return Ok(());
    }
    if wanted > limits.concurrent {
        return Err(Error::invalid(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{}].",
            limits.concurrent
        ))
        .untyped());
    }
    if limits.leaves_too_little(others.saturating_add(together)) {
        return Err(Error::invalid(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
             minimum value of [{}].",
            limits.unreserved
        ))
        .untyped());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_left_to_the_others() {
        let limits = Limits::default();
        assert_eq!(reserve(limits, 0, 0, 900), Ok(()));
        assert_eq!(
            reserve(limits, 0, 0, 901).unwrap_err().message(),
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
             its minimum value of [100]."
        );
        assert_eq!(reserve(limits, 899, 0, 1), Ok(()));
        assert!(reserve(limits, 900, 0, 1).is_err());
        assert_eq!(reserve(limits, 950, 0, 0), Ok(()), "a function can always be stopped");
    }

    #[test]
    fn what_is_provisioned_is_within_what_is_reserved() {
        let limits = Limits::default();
        assert_eq!(
            reserve(limits, 0, 5, 4).unwrap_err().message(),
            " ReservedConcurrentExecutions  4 should not be lower than function's total provisioned concurrency [5]."
        );
        assert_eq!(provision(limits, 0, Some(5), 2, 3), Ok(()));
        assert!(
            provision(limits, 0, Some(5), 2, 4).unwrap_err().message().starts_with("Requested Provisioned")
        );
        assert_eq!(provision(limits, 900, Some(5), 0, 5), Ok(()), "it is the function's own");
    }

    #[test]
    fn what_is_provisioned_counts_where_nothing_is_reserved() {
        let limits = Limits::default();
        assert_eq!(provision(limits, 0, None, 0, 900), Ok(()));
        let decreases = "Specified ConcurrentExecutions for function decreases";
        assert!(provision(limits, 0, None, 1, 900).unwrap_err().message().starts_with(decreases));
        assert_eq!(
            provision(limits, 0, None, 0, 1001).unwrap_err().message(),
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
        );
    }
}
