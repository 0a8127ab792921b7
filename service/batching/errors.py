"""Why an item has no result although nothing is wrong with it: the errors of `Batcher.submit`."""


class BatcherError(RuntimeError):
    """The item was not run, or its result was not waited for; the subclass says why."""


class QueueFullError(BatcherError):
    """The queue holds as many items as it may."""


class ExpiredError(BatcherError):
    """The item's deadline passed before its result was there."""


class ClosedError(BatcherError):
    """The batcher is closed."""
