"""Version v1alpha1 of the kinds: BatchJob, Pipeline and ClusterPipeline."""
