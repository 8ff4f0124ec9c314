"""The general words radiology reports are written with: examinations, description, numbers.

Like `radiology_words`, they widen the bundled word vectors beyond one collection of reports.
"""

from __future__ import annotations

from typing import Final

EXAMINATION: Final = """
abduction addendum admission advised angiogram angiographic angiography anterior anterolateral
anteroposterior antibiotic antibiotics arms artefact artifact artifacts artifactual attending
axial bedside cardiologist cardiology clinic clinical clinically clinician communicated compare
compared comparison computed conclusion consult consultation contrast coronal correlate correlated
correlation date dedicated department described diagnosis dictated dictation digital discussed
doctor dose echocardiogram echocardiography emergency enhancement evaluate evaluated evaluating
evaluation exam examination examinations examined exams expiration expiratory exposed exposure
fellow film films findings fluoroscopic fluoroscopy follow followup frontal highlighted history
hospital hospitalization image imaged images imaging impression indicated indication indications
indicative inpatient inspiration inspiratory inspired intensive interpretation interpreted
interval intravenous kyphotic labeled labelled lordotic magnification magnified mammography
markers medical medicine motion normal notification notified nurse nursing oblique obliqued
obliquity obtained operation operative outpatient outside overlay overlying oxygen paged pain
patient patients penetrated penetration phoned physician portable portably posterior
posteroanterior posterolateral preliminary preoperative prior procedure procedures projecting
projection projectional projections prone protocol provider provisional quality radiograph
radiographic radiographically radiographs radiologic radiological radiologist radiologists
radiology radiopaque read recommend recommendation recommendations recommended referring report
reported reports requested rescan resident resolution reviewed rotated rotation saline scan
scanned scanning scans scout screening sedation semierect semiupright serial series sonogram
sonographic studies study suboptimal suboptimally superimposed superimposition supine surgeon
surveillance symptom symptomatic symptoms technical technically technician technique technologist
telephone telephoned therapy tomographic tomography transferred treated treatment ultrasound
underpenetrated underpenetration unit upright verbally verified view views visualisation
visualised visualization visualize visualized xray
"""

DESCRIPTION: Final = """
above abrupt abruptly absence absent abut abutting accentuated accentuates accentuation
accompanied accompanying accounted accounting accurate additional adequate adequately adjacent
advanced advancement age aged aging aligned alignment allowing alternatively although amorphous
amount amounts angle angles angulated angulation annular apparent appear appearance appearances
appeared appearing appears appreciable appreciably appreciated approximate approximately
approximates architectural area areas arise arising aspect aspects assess assessed assessment
associated assume attenuated attenuation attributable attributed attribution augmented average
background bandlike barrel becoming beneath benign better beyond biconvex blurred blurring border
borderline borders branching breadth brighter broad broken bulbous bulge bulging bulk bulky
caliber calibre cause caused centered centimeter centimeters central centrally centred change
changed changes changing characterise characteristic characterization characterize characterized
clear cleared clearer clearing clinically closed coarse coarsely coarsened coarsening coexistent
coexisting coiled coincide combination comparable complete completely complicated component
components concave concentric concern concerning concerns concomitant concurrent condition
configuration confirm confirmation confirmed confounded consider consideration considered
considering consistent conspicuity conspicuous constellation contain contained containing
contiguous continued continues contour contoured contours contributing contribution convex
convexity correlates correspond corresponding corresponds course courses coursing crisp crowded
crowding curled curvature curved curvilinear darker deep deeper definite definitely definitive
delineated delineation demonstrate demonstrated demonstrates demonstrating demonstration dense
densely densities density dependent dependently depicted depressed depression depth detail
detailed detect detectable detected determine determined develop developed developing development
diameter differ difference differences differential difficult difficulty diffuse diffusely
diminish diminished diminishing diminution disappeared discernible discoid discrete distance
distinct distinctly distorted distortion distribution dominant doubt doubtful downward dramatic
dramatically due dystrophic earlier early effect element elongated emanating embedded entire
entirely equivocal essentially established etiologies etiology evaluate even evidence evident
evolution evolving exaggerated exaggerates exaggeration except exception exclude excluded excludes
excluding exclusion expanded expansion expect expected extend extended extending extends extension
extensive extensively extent external extra extreme extremely extrinsic faint faintly fairly favor
favored favoring favors favour feature features few fibro field fields filled filling finding fine
firm flat flattened flattening fluffy follow following formation formed former forward fraction
free frequently fullness fully generalized given global gradual gross grossly ground groundglass
grown growth haze haziness hazy heterogeneous heterogeneously high higher highly homogeneous
homogenous horizontal however identifiable identified identify illdefined immediate immediately
impinging important improve improved improvement improvements improves improving inadequate
incidental incidentally include included includes including incomplete incompletely increase
increased increases increasing increasingly incremental indeterminate indistinct indistinctness
infer infra infrequent inhomogeneous initial insignificant intermediate internal interposed
interposition interrupted interruption interspersed intervening invading invasion involved
involvement involves involving irregular irregularities irregularity isolated just kinked kinking
large largely larger largest late latter layer layering layers leftward length lenticular less
lesser level levels lie lies lift lifted likelihood likely limit limitation limitations limited
limits linear lobulated lobulation localised localized located location locations longstanding
loop looped loops loose loosening loss lost low lower lowermost lumpy main mainly mainstem
maintained majority margin marginal margins marked markedly marker marking markings matched
maximal maximally maximum measure measured measurement measurements measures measuring mid middle
migrated migration mild milder mildly milky millimeter millimeters minimal minimally minimum minor
minute mixed moderate moderately modest modestly more most mostly mottled moved movement much
multifocal multilevel multilobar multiple multiplicity narrow narrowed narrowing near nearly
negative never new newer newly noncalcified nonobstructive nonspecific normalization normalized
normally notable notably notched note noted numerous obvious obviously old older ongoing
orientation oriented origin original otherwise outer outline outlined outlines outlining overall
overexposed overlap overlapping overlie overlies overt paired pale partial partially partly patchy
pattern patterned patterns peak peculiar peripherally persist persisted persistence persistent
persistently persisting persists physiologic plane plate platelike point poor poorly portion
portions possibilities possibility possible possibly potential potentially preceding precise
precisely predisposing predominance predominant predominantly preexisting presence present
presented presents preserved presumably presumed prevalent previous previously primarily primary
probable probably process processes profile progress progressed progressing progression
progressive progressively project projects prominence prominent prominently pronounced punctate
pushed questionable questioned quite raise raised raises range rapid rapidly rare rather
reaccumulation readily real recent recently recurrence recurrent redemonstrated redemonstration
redistribution reduced reduction reflect reflected reflecting reflects regard region regional
regions related relation relative relatively remain remainder remained remaining remains
remodeling remote represent representation represented representing represents residua residual
resolve resolved resolving result resulting results retrospect reveal revealed reveals reversal
rightward rim roughly round rounded rounding scattered secondary see seen sensitive sensitivity
separate seven several severe severely severity shaggy shallow shape shaped sharp sharply shift
shifted shifting shown shows side sided sides significance significant significantly silhouette
silhouettes similar similarly simple single site sites situated size sized sizes slight slightly
slow slowly small smaller smallest smooth smoothly solid solitary somewhat source space specific
specifically speckled spherical spiculated spiculation spite split spread stability stabilized
stable standard standing stellate stigmata straight straightening streak streaks streaky stretched
striking strongly structural structure structures subacute subcentimeter subjacent subsequent
subsequently substantial substantially subtle subtly sufficient suggest suggested suggesting
suggestion suggestive suggests superiorly surface surrounding suspect suspected suspicion
suspicious symmetric symmetrical symmetrically symmetry tense tension tented tenting thick
thickness thin though tiny top total towards traction transient transverse tubular tumoral twisted
typical typically unable unchanged unclear uncoiled underestimate underestimated underinflated
underlying undersurface uneven uniform uniformly unilateral unlikely unremarkable unusual upper
uppermost upward vague vaguely variable variant variation variations versus vertical vertically
vicinity visible visualised volume volumes well wide widely width within worrisome worse worsen
worsened worsening wrapped
"""

NUMBERS: Final = """
afternoon anteriorly apically april august bilaterally centrally daily day days december distally
double eight eighth eleven eleventh evening february fifth first five four fourth half hour hours
inferiorly january july june laterally left march may medially month months morning night nine
ninth november october once one posteriorly proximally quarter right second september seven
seventh six sixth superiorly ten tenth third thirds three time today tomorrow triple twelfth
twelve twice two week weekly weeks year years yesterday
"""

REPORT_WORDS: Final = frozenset(" ".join((EXAMINATION, DESCRIPTION, NUMBERS)).split())
