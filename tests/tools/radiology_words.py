"""Medical words of chest radiology beyond those of the Indiana University collection.

They are here so that the bundled word vectors also serve the reports of other hospitals, in
American and British spelling.
"""

from __future__ import annotations

from typing import Final

ANATOMY: Final = """
abdomen abdominal acromial acromioclavicular acromion airway airways alveolar alveoli alveolus
anatomic anatomical aorta aortic aortopulmonary apex apical apices arch arches arm arterial
arteries arteriolar artery articular atria atrial atrium axilla axillae axillary azygoesophageal
azygos basal base bases basilar biapical bibasal bibasilar bihilar bilateral bone bones bony bowel
brachial brachiocephalic breast breasts bronchi bronchial bronchiolar bronchiole bronchioles
bronchovascular bronchus carina carinal carotid cartilage cava caval cavity cavoatrial
centrilobular cervical chamber chambers chest clavicle clavicles clavicular colon colonic
contralateral coracoid coronary cortex cortical costal costochondral costophrenic costovertebral
cranial diaphragm diaphragmatic diaphragms disc discs disk disks distal duodenal duodenum
epicardial epigastric esophageal esophagogastric esophagus extrapleural fissural fissure fissures
flank gallbladder gastric gastroesophageal gland glenohumeral glenoid heart hemiabdomen
hemidiaphragm hemidiaphragms hemithoraces hemithorax hepatic hila hilar hilum humeral humeri
humerus inferior infraclavicular infradiaphragmatic infrahilar innominate interalveolar
intercostal interlobar interlobular interspace interspaces interstitial interstitium intestinal
intraabdominal intrapulmonary intrathoracic ipsilateral joint joints jugular juxtahilar kidney
kidneys lateral ligament lingula lingular liver lobar lobe lobes lobular lobule lumbar lumen lung
lungs lymph lymphatic lymphatics manubrium medial mediastinal mediastinum midclavicular midline
midlung midthoracic midzone mitral muscle muscles musculature musculoskeletal myocardial
myocardium nasal neck nipple nipples nodal node nodes oesophageal oesophagus osseous pancreatic
parahilar paramediastinal paraspinal paraspinous paratracheal paravertebral parenchyma parenchymal
parietal pectoral pectus pedicle pedicles pelvis peribronchial peribronchiolar pericardial
pericardium perihilar peripheral peripherally perivascular pharynx pleura pleurae pleural portal
prevertebral proximal pulmonary pylorus renal retroaortic retrocardiac retrocrural retrosternal
rib ribs sacral scapula scapulae scapular segment segmental segments septa septal septum shoulder
shoulders skeletal skeleton skin skull spinal spine spleen splenic sternal sternoclavicular
sternum stomach subclavian subcutaneous subdiaphragmatic subpleural subpulmonic subsegmental
superior supraclavicular suprahilar surgical thoracic thoracolumbar thorax thymic thymus thyroid
tissue tissues trachea tracheal tracheobronchial tricuspid trunk valve valves valvular vascular
vasculature vein veins vena venous ventricle ventricles ventricular vertebra vertebrae vertebral
vessel vessels visceral wall walls xiphoid zone zones
"""

FINDINGS: Final = """
abnormal abnormalities abnormality abscess abscesses acute adenocarcinoma adenopathy aerated
aeration airspace amyloidosis aneurysm aneurysmal ankylosis arthritis arthropathy asbestos
asbestosis ascites aspergilloma aspergillosis aspirated aspiration asthma asymmetric asymmetrical
asymmetry atelectases atelectasis atelectatic atherosclerosis atherosclerotic atypical avulsion
bacterial barotrauma bleb blebs blunted blunting bowing bronchiectasis bronchiectatic
bronchiolitis bronchitis bronchogenic bronchograms bronchopneumonia bulla bullae bullous calcific
calcification calcifications calcified calcinosis calculi callus cancer cancers carcinoma
carcinomatosis cardiogenic cardiomegaly cardiomyopathy cavitary cavitated cavitating cavitation
cavitations cephalization chronic cirrhosis coalescence coalescent collapse collapsed collection
collections comminuted compression compressive confluence confluent congenital congested
congestion congestive consolidated consolidation consolidations consolidative contusion contusions
covid cyst cystic cysts deformities deformity degeneration degenerative demineralization
demineralized deviated deviation dilatation dilated dilation disease diseases dislocated
dislocation displaced displacement dissection disseminated distended distension distention
eccentric ectasia ectatic edema edematous effaced effacement effusion effusions elevated elevation
emboli embolic embolism embolus emphysema emphysematous empyema engorged engorgement enlarged
enlargement eosinophilic erosion erosions erosive eventration exacerbation exudate exudates
exudative failure fibronodular fibrosis fibrothorax fibrotic fistula fluid focal foci focus
fracture fractured fractures fungal granuloma granulomas granulomata granulomatous haemorrhage
haemothorax hamartoma hematoma hemopneumothorax hemoptysis hemorrhage hemorrhagic hemothorax
hernia herniation hiatal hiatus histoplasmosis honeycombing hydropneumothorax hydrothorax
hyperaerated hyperaeration hyperdense hyperexpanded hyperexpansion hyperinflated hyperinflation
hyperlucency hyperlucent hyperostosis hypertension hypertensive hypertrophic hypertrophy
hypoaerated hypoinflated hypoinflation hypoventilation hypoventilatory hypoxia hypoxic idiopathic
ileus impaction infarct infarction infarcts infected infection infections infectious infiltrate
infiltrates infiltration infiltrative inflamed inflammation inflammatory inflated inflation injury
intact interstitial ischemia ischemic kyphoscoliosis kyphosis kyphotic lesion lesions leukemia
levocurvature levoscoliosis loculated loculation loculations lordosis lucencies lucency lucent
lymphadenopathy lymphangitic lymphoma malalignment malignancy malignant malposition malpositioned
mass masses mesothelioma metaplasia metastases metastasis metastatic microatelectasis micronodular
micronodules miliary mucoid mycetoma mycobacterial mycobacterium myeloma necrosis necrotic
necrotizing neoplasia neoplasm neoplasms neoplastic nodular nodularity nodule nodules nondisplaced
nonunion obliterated obliteration obscuration obscured obscures obstruction obstructive occlusion
oedema opacification opacified opacities opacity opaque organizing ossification ossified
osteoarthritis osteoarthrosis osteomyelitis osteopenia osteopenic osteophyte osteophytes
osteophytic osteophytosis osteoporosis osteoporotic osteosclerosis overinflated overinflation
pathologic pathological pathology perforation pericarditis plaque plaques plethora pleuritis
pneumatocele pneumatoceles pneumoconiosis pneumocystis pneumomediastinum pneumonectomy pneumonia
pneumonias pneumonic pneumonitis pneumopericardium pneumoperitoneum pneumothoraces pneumothorax
postinflammatory postobstructive postradiation pseudoaneurysm pseudonodule pseudotumor pulmonic
reexpansion reflux regurgitation respiratory reticular reticulation reticulations reticulonodular
rupture ruptured sarcoid sarcoidosis sarcoma scar scarred scarring scars schwannoma sclerosis
sclerotic scoliosis scoliotic sepsis septic sequela sequelae shadow shadows silhouetting silicosis
spondylitis spondylosis spur spurring spurs stenosis stenotic subluxation subluxed swelling
swollen thickened thickening thrombosis thrombus tortuosity tortuous toxicity transudate trapping
trauma traumatic tubercular tuberculosis tuberculous tumor tumors tumour tumours ulcer unfolded
unfolding varices vascularity vasculitis viral wedging widened widening
"""

DEVICES: Final = """
abandoned ablation access anastomosis annuloplasty apparatus appliance balloon band bandage biopsy
biventricular brace bracelet bypass cannula cannulas cannulation cardiac cardioverter catheter
catheterization catheters cerclage chain chemotherapy cholecystectomy clip clips coil coils collar
commissurotomy cord defibrillator defibrillators device devices diagnostic dialysis dobhoff drain
drainage drains dual duct electrode electrodes endobronchial endoscopic endotracheal endovascular
enteric epidural esophagectomy evacuated explanted extubated extubation feeding filter fixation
foreign fundoplication fused fusion gastrostomy generator graft grafting grafts greenfield
hardware hemodialysis implant implantable implanted implants indwelling infusion inserted
insertion intraaortic intubated intubation jejunostomy laminectomy laparoscopic laryngectomy lead
leads ligation line lines lobectomy lumpectomy mastectomy material median mediastinoscopy mediport
mesh metal metallic monitor monitoring monitors nasoenteric nasogastric needle nephrostomy
orogastric orthopedic pacemaker pacemakers pacer pacing pack pads patch percutaneous
pericardiocentesis peripherally pigtail placed placement plate plates pleurectomy pleurodesis
pleurx port portacath ports position positioned positioning post postoperative postprocedural
postsurgical postthoracotomy prostheses prosthesis prosthetic pump radiation radiotherapy
reconstruction reinserted removal removed repair repaired repositioned repositioning resected
resection retained retracted retraction revision rod rods screw screws sheath shunt silicone
sponge stabilization staple staples stent stented stents sternotomies sternotomy stimulator
stopcock strut support surgeries surgery suture sutured sutures swan tape telemetry terminates
terminating thoracentesis thoracoscopic thoracoscopy thoracostomy thoracotomy tip tips
tracheostomy transjugular transplant transplantation transplanted transvenous tube tubes tubing
tunneled tunnelled valve valvuloplasty vats ventilated ventilation ventilator vertebroplasty wedge
wedges wire wires withdrawn
"""

SYMPTOMS: Final = """
aches afebrile altered anemia angina arrest arrhythmia asymptomatic bleeding breath breathing
breathless bronchospasm chills choking cold confusion constipation cough coughing crackles
cyanosis decompensated decompensation decreased dehydration delirium diabetes diabetic diaphoresis
diarrhea discomfort distress dizziness dizzy dysphagia dysphasia dyspnea dyspnoea encephalopathy
epilepsy fall fallen fatigue febrile fever fevers fibrillation headache heartburn hemodynamic
hepatitis hoarseness hypotension hypotensive hypoxemia immunocompromised immunosuppressed infarct
influenza insufficiency intoxication jaundice lethargy leukocytosis malaise mental nausea
neutropenia neutropenic obese obesity orthopnea overdose overload palpitations pancreatitis phlegm
pleuritic productive rales renal rhonchi seizure seizures shock short shortness sick sickle smoke
smoker smoking sputum stroke sweats syncope tachycardia tachypnea tobacco unresponsive vomiting
weak weakness wheeze wheezes wheezing wheezy worker
"""

MEDICAL_WORDS: Final = frozenset(" ".join((ANATOMY, FINDINGS, DEVICES, SYMPTOMS)).split())
