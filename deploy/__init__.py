"""Deployment: Triton Inference Server, containers, Kubernetes, dashboards."""
