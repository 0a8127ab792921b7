"""Key rotation: the file of API keys is read again while the service runs, and a change is in force within seconds.

The content is compared and not the time of change: Kubernetes swaps a link to another folder, editors replace files.
"""

import asyncio
from typing import Final

import structlog

from clpips.service.admission.access import Access
from clpips.service.admission.keys import read_keys
from clpips.service.settings import Settings, SettingsError

CHECK_SECONDS: Final = 2.0

log = structlog.get_logger()


async def follow_keys(settings: Settings, access: Access, check_seconds: float = CHECK_SECONDS) -> None:
    """Read the keys again every so often, without end, where a file has some.

    A file that cannot be read, or that has a line which is no key, changes nothing: the keys before it stay in force,
    and the log says once what is wrong. So a slip of an editor neither locks everybody out nor lets anybody in.
    """
    if settings.api_keys_file is None:
        return
    keys, complaint = read_keys(settings), ""
    while True:
        await asyncio.sleep(check_seconds)
        try:
            found = await asyncio.to_thread(read_keys, settings)
        except SettingsError as error:
            if str(error) != complaint:
                log.error("API keys not read again, those before stay in force", reason=str(error))  # noqa: TRY400
            complaint = str(error)
            continue
        complaint = ""
        if found != keys:
            keys = found
            access.replace(keys)
            log.info("API keys read again", keys=sorted(key.name for key in keys))
