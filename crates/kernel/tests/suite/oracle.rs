//! Cases decided by an implementation in another language, reproduced digest for digest.

#[cfg(test)]
mod tests {
    use calybris_kernel::digest::{decision_digest, input_digest};
    use calybris_kernel::{Policy, PolicySnapshot};

    use crate::support::case_file::CaseFile;
    use crate::support::reference;

    #[test]
    fn every_oracle_case_is_reproduced() {
        let (mut file, policies) = CaseFile::open(include_bytes!("../data/oracle_cases.bin"));
        let mut cases = 0;
        for _ in 0..policies {
            let head = file.policy();
            let models: Vec<_> = (0..head.models).map(|_| file.model()).collect();
            let (policy_digest, requests) = file.requests();
            let borrowed = Policy::new_unchecked(head.params, &models);
            let owned = PolicySnapshot::from(borrowed);
            assert_eq!(owned.digest(), policy_digest);
            for _ in 0..requests {
                let known = file.case();
                cases += 1;
                let (decision, trace) = owned.prescribe_with_trace(known.input);
                assert_eq!(trace.rejections, known.rejections, "case {cases}");
                assert_eq!(input_digest(&known.input), known.input_digest, "case {cases}");
                assert_eq!(decision_digest(&decision), known.decision_digest, "case {cases}");
                assert_eq!(borrowed.prescribe(known.input), decision, "case {cases}");
                let reference = reference::decide(&head.params, &models, &known.input);
                assert_eq!(reference.decision, decision, "case {cases}");
            }
        }
        assert!(file.is_read());
        assert_eq!((policies, cases), (202, 3_052));
    }
}
