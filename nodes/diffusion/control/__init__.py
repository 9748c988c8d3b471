"""ControlNets: their modules, their maps, and which fit a checkpoint."""
