"""The ground of storage faults: one for the whole session."""

import logging

import pytest_asyncio
import structlog
from s3_campaign import StorageCampaign
from s3_world import open_ground


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def campaign(tmp_path_factory):
    """What plays and judges plans, with its references learnt."""
    folder = tmp_path_factory.mktemp("storage-faults")
    before = structlog.get_config()
    # The operator's own lines, of hundreds of runs in this process.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with open_ground(tmp_path_factory.mktemp("storage-ground")) as ground:
        opened = StorageCampaign(ground, folder)
        await opened.learn()
        yield opened
    structlog.configure(**before)
