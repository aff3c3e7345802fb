--- What `epact.model.mf` has learned: rows of users and items, and what they say about ratings.
-- @classmod epact.model.mf.model

local core = require "epact.core"
local data = require "epact.data"
local options = require "epact.options"
local store = require "epact.model.store"

local module = {}

local methods = {}
module.Model = { __index = methods }

-- mu + b_u + c_i + p_u'q_i, clipped; what the model does not know counts as 0.
local function predict(self, user, item)
  local k, sum = self.factors, self.mean
  local p, q = self.user.value + user * (k + 1), self.item.value + item * (k + 1)
  local known_user, known_item = user < self.users, item < self.items
  if known_user then sum = sum + p[k] end
  if known_item then sum = sum + q[k] end
  if known_user and known_item then
    for f = 0, k - 1 do sum = sum + p[f] * q[f] end
  end
  return math.max(self.low, math.min(self.high, sum))
end

--- The rating that a user would give an item, clipped to the range of the training ratings: mu + b_u + c_i + p_u'q_i.
-- A user or item that the model does not know, or that had no ratings, counts as an average one.
-- @tparam number|epact_ratings user a user, or ratings whose pairs are to be predicted (their values do not matter)
-- @tparam ?number item
-- @treturn number|epact_dense the prediction, or one for each of the ratings (count x 1)
function methods:predict(user, item)
  if data.kind(user) == "ratings" then
    local pairs, predictions = user, data.new("dense", user.count, 1)
    local value = predictions.value
    for t = 0, pairs.count - 1 do value[t] = predict(self, pairs.user[t], pairs.item[t]) end
    return predictions
  end
  options.argument("mf:predict", "user", "index", user)
  options.argument("mf:predict", "item", "index", item)
  return predict(self, user, item)
end

--- The root mean squared error of the predictions.
-- @tparam epact_ratings ratings
function methods:score(ratings)
  if data.kind(ratings) ~= "ratings" then
    core.fail("mf:score: ratings must be ratings, got %s", options.show(ratings))
  end
  if ratings.count == 0 then core.fail "mf:score: there are no ratings" end
  local sum = 0
  for t = 0, ratings.count - 1 do
    sum = sum + (ratings.value[t] - predict(self, ratings.user[t], ratings.item[t])) ^ 2
  end
  return math.sqrt(sum / ratings.count)
end

--- Writes the model to a file, which `mf.load` reads.
function methods:save(path)
  local fields = {}
  for name, value in pairs(self) do fields[name] = value end
  store.save(path, "mf", fields)
end

--- Reads what `save` has written.
function module.load(path) return setmetatable(store.load(path, "mf"), module.Model) end

function module.Model:__tostring()
  local last = self.history[#self.history]
  local cold = (self.cold_users > 0 or self.cold_items > 0) and (", %d users and %d items without ratings"):format(
    self.cold_users, self.cold_items) or ""
  return ("epact.mf model <%d users x %d items%s, %d factors; %d epochs%s, %s>"):format(self.users, self.items, cold,
    self.factors, #self.history, last and (", training RMSE %.4g"):format(last.train) or "", self.status)
end

return module
