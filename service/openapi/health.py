"""Contracts of `/healthz`, `/readyz` and `/metrics`."""

from clpips.service.openapi.contract import Answer, Contract, ContractedOperation
from clpips.service.openapi.problems import kinds
from clpips.service.problems import NotReady
from clpips.service.wire.media_types import JSON
from clpips.service.wire.schemas import Health


class AliveOperation(ContractedOperation):
    """`GET /healthz`."""

    contract = Contract(answers={200: Answer("The service is alive.", Health, (JSON,))})


class ReadyOperation(ContractedOperation):
    """`GET /readyz`."""

    contract = Contract(answers={200: Answer("The service is ready.", Health, (JSON,))}, problems=kinds(NotReady))


class MetricsOperation(ContractedOperation):
    """`GET /metrics`."""

    contract = Contract(answers={200: Answer("Every metric.", None, ("text/plain",))})
