module remediator.invalid/tools/containerd

go 1.26.0
