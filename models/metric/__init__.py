"""The metric (LPIPS): its backbone, channel distances `z`, weights and the files of both."""
