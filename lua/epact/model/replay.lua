--- The clocks of a model's training, so that a resumed job goes on where it was.
--
-- With snapshots (`epact.run`'s option) the state of a worker is saved at the end of each clock that is in one,
-- together with how many clocks the training had then made. When the job is resumed the training runs through its own
-- loops once more, from the beginning, and skips the clocks it made before and the work between them: work is done
-- where `live()`. So the order of things is written once, in the algorithm. What the work would have left behind is
-- what the state has to have.
-- @module epact.model.replay

local replay = {}

local methods = {}
local class = { __index = methods }

--- Begins; to be called before the worker's first clock when the job has snapshots.
-- @param w the worker
-- @tparam function save returns the state: a table of plain values
-- @tparam function load gets what `save` returned; called before this returns, when the job is resumed
-- @treturn table `resumed`: there was a state
function replay.begin(w, save, load)
  local self = setmetatable({ w = w, made = 0, before = 0, resumed = false }, class)
  if not w.snapshots then return self end -- a worker keeps one state; without snapshots it may train more
  self.resumed = w:state(function() return { made = self.made, state = save() } end, function(kept)
    self.before = kept.made
    load(kept.state)
  end)
  return self
end

--- Whether what comes now was not done before the job was resumed.
function methods:live() return self.made >= self.before end

local function make(self, clock)
  self.made = self.made + 1
  if self.made > self.before then clock(self.w) end
end

--- The worker's clock, unless it was made before.
function methods:clock() make(self, self.w.clock) end

--- The worker's barrier, unless it was passed before.
function methods:barrier() make(self, self.w.barrier) end

return replay
