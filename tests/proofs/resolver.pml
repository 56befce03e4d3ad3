/* SPDX-License-Identifier: MIT */
/*
 * The resolver, its flights, the sweep and the channel of changes, with Redis
 * behind two connections: one for questions, one for what it tells of changes.
 * Each may be lost at any time; the first takes the second with it. Replies,
 * pushes, deadlines, cancels and losses come in any order; what the agent does
 * in one turn of its loop is one step.
 *
 * A value is the number of changes that its host has seen. Shown for every
 * order of events:
 *   - each question is answered once, or cancelled, and nothing waits for ever;
 *   - an answer that is not said to be stale is no older than any change whose
 *     push was seen before the question was asked;
 *   - while Redis tracks and no push is under way, what is fresh in the cache
 *     is what Redis holds;
 *   - there is one flight for a host.
 * Each BROKEN_ below takes one rule away, and must then be found out.
 */
#define HOSTS 2
#define QUESTIONS 3
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef DEADLINES
#define DEADLINES 1
#endif
#ifndef REFRESHES
#define REFRESHES 1 /* questions asked ahead */
#endif
#ifndef EVICTIONS
#define EVICTIONS 1 /* and what came to the end of its life */
#endif

mtype = { ASK, SWEEP, TRACK };
mtype = { UNASKED, WAITING, ANSWERED, CANCELLED };

/* What Redis holds, and the bytes under way. */
byte db[HOSTS];
byte changes;
bool tracking;	/* it tells of changes */
bool connected; /* Redis's end of the connection for questions */
chan questions = [6] of { mtype, byte };
chan replies = [6] of { mtype, byte, byte };
chan pushes = [CHANGES] of { byte, byte };

/* The agent. */
byte epoch = 1;
bool has_entry[HOSTS];
byte entry_value[HOSTS];
byte entry_epoch[HOSTS];
bool flying[HOSTS];
byte flight_epoch[HOSTS];
bool sweeping[HOSTS];
byte sweep_epoch[HOSTS];
bool is_subscribed;
bool push_lost;	  /* the connection for changes alone */
byte push_number; /* Redis tracks for the one that it was told of */
byte losses, refreshes, evictions;

/* The questions, and what was seen when they were asked. */
mtype state[QUESTIONS] = UNASKED;
byte host_of[QUESTIONS];
byte waiter_epoch[QUESTIONS];
byte seen_then[QUESTIONS];
byte seen[HOSTS];

#define is_fresh(h) (has_entry[h] && entry_epoch[h] == epoch)
#define waits(q, h) (state[q] == WAITING && host_of[q] == (h))

/* What no longer matters is 0, or it would make two states of one. */
inline forget(q)
{
#ifndef BROKEN_CANCEL
	host_of[q] = 0;
#endif
	waiter_epoch[q] = 0;
	seen_then[q] = 0
}

inline answer(q, value)
{
	assert(state[q] == WAITING || state[q] == UNASKED);
	assert(value >= seen_then[q]);
	state[q] = ANSWERED;
	forget(q)
}

inline answer_stale(q)
{
	assert(state[q] == WAITING || state[q] == UNASKED);
	state[q] = ANSWERED;
	forget(q)
}

/* What is known when Redis does not say, or not in time. */
inline answer_known(q)
{
	if
	:: is_fresh(host_of[q]) -> answer(q, entry_value[host_of[q]])
	:: else -> answer_stale(q)
	fi
}

inline put(h, value, asked_in)
{
	has_entry[h] = true;
	if
#ifndef BROKEN_DATED_ON_ARRIVAL
	:: asked_in != epoch -> entry_value[h] = 0; entry_epoch[h] = 0
#endif
	:: else -> entry_value[h] = value; entry_epoch[h] = epoch
	fi
}

/* The question goes out, perhaps once more. */
inline send_flight(h)
{
	flight_epoch[h] = epoch;
	questions!ASK(h)
}

inline start_flight(h)
{
	assert(!flying[h]);
	flying[h] = true;
	send_flight(h)
}

inline ask(q, h)
{
	host_of[q] = h;
	seen_then[q] = seen[h];
	if
	:: is_fresh(h) -> answer(q, entry_value[h])
	:: !is_fresh(h) && !connected -> answer_stale(q)
	:: !is_fresh(h) ->
		state[q] = WAITING;
		waiter_epoch[q] = epoch;
		if
		:: flying[h]
		:: else -> start_flight(h)
		fi
	fi
}

/* Those who asked in the flight's epoch or before; the others have it asked
 * again. */
inline take_reply(h, value)
{
	put(h, value, flight_epoch[h]);
	flying[h] = false;
	others = false;
	for (i : 0 .. QUESTIONS - 1) {
		if
		:: waits(i, h) &&
#ifdef BROKEN_LATE_WAITER
			true
#else
			waiter_epoch[i] <= flight_epoch[h]
#endif
			-> answer(i, value)
		:: waits(i, h) &&
#ifdef BROKEN_LATE_WAITER
			false
#else
			waiter_epoch[i] > flight_epoch[h]
#endif
			-> others = true
		:: else
		fi
	}
#ifdef BROKEN_CANCEL
	for (i : 0 .. QUESTIONS - 1) {
		if
		:: state[i] == CANCELLED && host_of[i] == h -> answer(i, value)
		:: else
		fi
	}
#endif
	flight_epoch[h] = 0;
#ifndef BROKEN_FORGOTTEN
	if
	:: others -> start_flight(h)
	:: else
	fi
#endif
}

/* Everything in the cache is outdated now; what its value was no longer
 * matters. */
inline raise_epoch()
{
	epoch++;
	for (i : 0 .. HOSTS - 1) {
		entry_value[i] = 0;
		entry_epoch[i] = 0
	}
	i = 0
}

inline drop_pushes()
{
	do
	:: pushes?_,_
	:: len(pushes) == 0 -> break
	od
}

/* The connection for questions is gone, and the other goes with it: what was
 * under way is asked again on a new one, or fails. */
inline reconnect()
{
	do
	:: questions?_,_
	:: replies?_,_,_
	:: len(questions) == 0 && len(replies) == 0 -> break
	od;
	drop_pushes();
	connected = true;
	tracking = false;
	is_subscribed = false;
	push_lost = false;
	for (i : 0 .. HOSTS - 1) {
		sweeping[i] = false;
		sweep_epoch[i] = 0;
		if
		:: flying[i] -> send_flight(i)
		:: flying[i] ->
			flying[i] = false;
			flight_epoch[i] = 0;
			for (k : 0 .. QUESTIONS - 1) {
				if
				:: waits(k, i) -> answer_known(k)
				:: else
				fi
			}
			k = 0
		:: else
		fi
	}
	i = 0
}

#define can_sweep(h) \
	(connected && has_entry[h] && !is_fresh(h) && !sweeping[h])
#define can_refresh(h) \
	(connected && is_fresh(h) && !flying[h] && refreshes < REFRESHES)
#define somebody_waits \
	(state[0] == WAITING || state[1] == WAITING || state[2] == WAITING)

inline pick_waiting(q)
{
	if
	:: state[0] == WAITING -> q = 0
	:: state[1] == WAITING -> q = 1
	:: state[2] == WAITING -> q = 2
	fi
}

inline check()
{
	for (i : 0 .. HOSTS - 1) {
		assert(!(tracking && is_subscribed && len(pushes) == 0 &&
			 is_fresh(i)) || entry_value[i] == db[i])
	}
	i = 0
}

active proctype redis()
{
	mtype kind;
	byte h;

end:	do
	:: atomic {
		changes < CHANGES ->
		changes++;
		select(h : 0 .. HOSTS - 1);
		db[h]++;
		if
		:: tracking -> pushes!h,db[h]
		:: else
		fi;
		h = 0
	   }
	:: atomic {
		connected && len(questions) > 0 ->
		questions?kind,h;
		tracking = tracking || (kind == TRACK && h == push_number);
		replies!kind,h,db[h];
		kind = 0;
		h = 0
	   }
	:: atomic {
		losses < LOSSES && connected ->
		losses++;
		connected = false;
		tracking = false
	   }
	:: atomic {
		losses < LOSSES && is_subscribed && !push_lost ->
		losses++;
		push_lost = true;
		push_number++;
		tracking = false;
		drop_pushes()
	   }
	od
}

active proctype agent()
{
	mtype kind;
	byte asked, h, value, i, k;
	bool others;
	byte deadlines, cancels;

	connected = true;
	do
	:: atomic {
		asked < QUESTIONS ->
		select(h : 0 .. HOSTS - 1);
		ask(asked, h);
		h = 0;
		asked++
	   }
	:: atomic {
		replies?kind,h,value ->
		if
		:: kind == ASK -> take_reply(h, value)
		:: kind == SWEEP ->
			sweeping[h] = false;
			put(h, value, sweep_epoch[h]);
			sweep_epoch[h] = 0
		:: else
		fi;
		check();
		kind = 0; h = 0; value = 0; others = false
	   }
	:: atomic {
		pushes?h,value ->
		seen[h] = value;
#ifndef BROKEN_DEAF
		raise_epoch();
#endif
		check();
		h = 0; value = 0
	   }
	:: atomic {
		connected && !is_subscribed ->
		is_subscribed = true;
		questions!TRACK(push_number);
#ifndef BROKEN_BEFORE_TRACKING
		raise_epoch();
#endif
		check()
	   }
	:: atomic {
		can_sweep(0) || can_sweep(1) ->
		if
		:: can_sweep(0) -> h = 0
		:: can_sweep(1) -> h = 1
		fi;
		sweeping[h] = true;
		sweep_epoch[h] = epoch;
		questions!SWEEP(h);
		h = 0
	   }
	:: atomic {
		can_refresh(0) || can_refresh(1) ->
		if
		:: can_refresh(0) -> h = 0
		:: can_refresh(1) -> h = 1
		fi;
		refreshes++;
		start_flight(h);
		h = 0
	   }
	:: atomic {
		evictions < EVICTIONS && (has_entry[0] || has_entry[1]) ->
		if
		:: has_entry[0] -> h = 0
		:: has_entry[1] -> h = 1
		fi;
		has_entry[h] = false;
		entry_value[h] = 0;
		entry_epoch[h] = 0;
		h = 0;
		evictions++
	   }
	:: atomic {
		cancels < CANCELS && somebody_waits ->
		pick_waiting(k);
		state[k] = CANCELLED;
		forget(k);
		k = 0;
		cancels++
	   }
	:: atomic {
		deadlines < DEADLINES && somebody_waits ->
		pick_waiting(k);
		answer_known(k);
		k = 0;
		deadlines++
	   }
	:: atomic { !connected -> reconnect() }
	:: atomic {
		push_lost ->
		push_lost = false;
		is_subscribed = false
	   }
	:: timeout -> break
	od;
	for (i : 0 .. QUESTIONS - 1) {
		assert(state[i] == ANSWERED || state[i] == CANCELLED)
	}
}
